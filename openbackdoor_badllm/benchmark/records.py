"""Records of ``table.json``: which figures there are, how they are grouped, ranked and written as text.

Nothing heavy is imported: the page of a benchmark reads files and needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

NONE, ORACLE, CLEAN = "none", "oracle", "clean"
REFERENCES = (NONE, ORACLE, CLEAN)
"""Lines that every pair has of its own accord, under these names."""
FIGURES = (
    "CACC", "ASR", "excess ASR", "R-Acc", "variant ASR", "excess variant ASR", "FRR", "FAR", "AUROC", "precision",
    "recall", "label right", "backdoor", "seconds", "memory", "LLM calls", "LLM tokens", "LLM money",
)  # fmt: skip
"""In the order of the tables. Lower is better of LOWER, higher of HIGHER; the others are not ranked."""
LOWER = ("ASR", "FRR", "FAR", "excess ASR", "variant ASR")
HIGHER = ("CACC", "R-Acc", "AUROC")
SHARES = frozenset(FIGURES[: FIGURES.index("seconds")])
GROUP = ("rate", "setting", "victim", "profile")
ABSENT = "-"


def group_of(record: Record) -> tuple[Any, ...]:
    """What figures are averaged and compared within: all but the pair and the defender."""
    return tuple(record[key] for key in GROUP)


def pair_of(record: Record) -> str:
    """Data set and attack."""
    return f"{record['dataset']} {record['attack']}"


def grouped(records: Iterable[Record], *keys: str) -> dict[tuple[Any, ...], list[Record]]:
    """Records by the values of some keys (rate, setting, victim and profile where none is named), in their order."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys or GROUP), []).append(record)
    return groups


def defenders_of(records: Iterable[Record]) -> list[str]:
    """``none`` first, then the defenders, then ``oracle`` and ``clean``."""
    names = dict.fromkeys(str(record["defender"]) for record in records)
    return sorted(names, key=lambda name: {NONE: 0, ORACLE: 2, CLEAN: 3}.get(name, 1))


def mean_of(record: Record, figure: str) -> float | None:
    """The mean of a figure over the seeds (of an average: over the pairs); None where it was not measured."""
    mean: float | None = record["figures"].get(figure, {}).get("mean")
    return mean


def deviation_of(record: Record, figure: str) -> float | None:
    """Its standard deviation; None where there is one value only."""
    spread = record["figures"].get(figure, {})
    known = [value for value in spread.get("values", ()) if value is not None]
    return spread["std"] if len(known) > 1 else None


def shown(record: Record, figure: str, plus_minus: str = " ± ") -> str:
    """A figure as text: shares in percent, with the deviation where there is more than one seed.

    Of an average the mean alone: its deviation is over the pairs, which says nothing of the defence.
    """
    mean = mean_of(record, figure)
    if mean is None:
        return ABSENT
    factor, digits = (100, 1) if figure in SHARES else (1, 0 if abs(mean) >= 10 else 2)
    deviation = None if "pairs" in record else deviation_of(record, figure)
    spread = "" if deviation is None else f"{plus_minus}{factor * deviation:.{digits}f}"
    return f"{factor * mean:.{digits}f}{spread}"


def places(records: Iterable[Record], figure: str) -> dict[str, int]:
    """1 for the best defenders of one pair, 2 for the second; equal figures, as printed, share a place.

    References are no defences and have no place.
    """
    means = {
        record["defender"]: mean
        for record in records
        if not record["reference"] and (mean := mean_of(record, figure)) is not None
    }
    if figure not in (*LOWER, *HIGHER) or len(means) < 2:
        return {}
    sign = -1 if figure in HIGHER else 1
    costs = {name: round(abs(mean) if figure == "excess ASR" else sign * mean, 3) for name, mean in means.items()}
    order = sorted(set(costs.values()))[:2]
    return {name: order.index(cost) + 1 for name, cost in costs.items() if cost in order}


def present(records: Sequence[Record], figures: Iterable[str] = FIGURES) -> list[str]:
    """The figures that any of the records has."""
    return [figure for figure in figures if any(figure in record["figures"] for record in records)]


def compared(comparison: Mapping[str, Any]) -> str:
    """A comparison in words."""
    p, interval = comparison["p"], comparison["interval"]
    told = "too few pairs for a test" if p is None else f"p = {p:.3g}, Wilcoxon signed-rank, two-sided"
    if interval is not None:
        low, high = (100 * bound for bound in interval)
        told = f"95 % bootstrap interval {low:+.1f} to {high:+.1f}; {told}"
    return (
        f"{comparison['figure']}: {comparison['ours']} minus {comparison['other']} (the best other) is "
        f"{100 * comparison['mean_difference']:+.1f} points on average over {comparison['n']} "
        f"{'pair' if comparison['n'] == 1 else 'pairs'} of attack and seed ({told})."
    )
