"""Paired comparison of our defender with the best other one, over pairs of data set and attack and over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from openbackdoor_badllm.benchmark.records import GROUP, Record, grouped

DRAWS = 10_000
LEAST = 6  # pairs below which the smallest p of the Wilcoxon test is above 0.05: no test can say anything


def compare(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Ours against the best other defender (by its mean) in ASR and in CACC, for each rate, setting and victim.

    The test is Wilcoxon's signed-rank test, two-sided; the interval is the 95 % percentile bootstrap of the mean
    difference (ours minus the other). ``p`` is null for fewer than 6 pairs. The best other is chosen on the same
    figures, which favours it, not ours.
    """
    found = []
    for group, everybody in grouped(records).items():
        members = [record for record in everybody if not record["reference"]]
        ours = [record for record in members if record["ours"]]
        for figure, sign in (("ASR", 1), ("CACC", -1)):
            mine = _values(ours, figure)
            rest = [record for record in members if not record["ours"]]
            others = {name: _values(theirs, figure) for (name,), theirs in grouped(rest, "defender").items()}
            shared = {name: sorted(set(mine) & set(values)) for name, values in others.items()}
            # Only those that were measured wherever the fullest was: a mean over easy pairs would win.
            most = max(map(len, shared.values()), default=0)
            rivals = {
                name: sign * float(np.mean([others[name][key] for key in keys]))
                for name, keys in shared.items()
                if keys and len(keys) == most
            }
            if not rivals:
                continue
            best = min(rivals, key=lambda name: rivals[name])
            differences = np.array([mine[key] - others[best][key] for key in shared[best]])
            found.append(
                {
                    **dict(zip(GROUP, group, strict=True)),
                    "figure": figure,
                    "ours": ours[0]["defender"],
                    "other": best,
                    **paired(differences),
                }
            )
    return found


def paired(differences: Any) -> dict[str, Any]:
    """Mean difference, its interval, and the p of the signed-rank test."""
    values = np.asarray(differences, dtype=float)
    generator = np.random.default_rng(0)
    drawn = values[generator.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    p: float | None = None
    if len(values) >= LEAST:
        p = 1.0 if not values.any() else float(stats.wilcoxon(values).pvalue)
    return {
        "n": len(values),
        "mean_difference": float(values.mean()),
        "interval": [float(low), float(high)] if len(values) > 1 else None,  # of one pair there is no spread
        "p": p,
        "test": f"{'' if p is None else 'Wilcoxon signed-rank, two-sided; '}95 % bootstrap interval",
    }


def _values(records: Sequence[Record], figure: str) -> dict[tuple[Any, ...], float]:
    """Values by pair and seed."""
    found = {}
    for record in records:
        for seed, value in zip(record["seeds"], record["figures"].get(figure, {}).get("values", []), strict=False):
            if value is not None:
                found[record["dataset"], record["attack"], seed] = value
    return found
