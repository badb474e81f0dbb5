"""Summary figures of a benchmark: target labels right, flagged rows, excess ASR and CACC.

Differences are taken within a seed, then averaged over the seeds of a pair; the worst pair is the worst such mean.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.compare import GROUP, group_of
from openbackdoor_badllm.benchmark.grid import CLEAN, ORACLE

Record = Mapping[str, Any]


class Entry(NamedTuple):
    """One line of a digest: what, over how many pairs and runs, and the text of it."""

    what: str
    pairs: int
    runs: int
    text: str


def digest(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each rate, setting, victim and profile: ``{"rate", ..., "entries": [{"what", "pairs", "runs", "text"}]}``.

    Args:
        table: the content of ``table.json``.
    """
    found = []
    for group in dict.fromkeys(map(group_of, table["records"])):
        members = [record for record in table["records"] if group_of(record) == group]
        ours = [record for record in members if record["ours"] and record["seeds"]]
        if ours:
            entries = _clean(ours) if group[0] == 0 else list(_poisoned(ours, members))
            told = [entry._asdict() for entry in entries if entry.runs]
            found.append({**dict(zip(GROUP, group, strict=True)), "entries": told})
    return found


def _clean(ours: Sequence[Record]) -> list[Entry]:
    """Clean sets: all that can be found there is a false alarm."""
    said = [value for record in ours for value in _values(record, "backdoor").values()]
    sets = len({record["dataset"] for record in ours})
    return [Entry("false alarms on clean sets", sets, len(said), f"{sum(value > 0 for value in said)} of {len(said)}")]


def _poisoned(ours: Sequence[Record], members: Sequence[Record]) -> Iterator[Entry]:
    right = [value for record in ours for value in _values(record, "label right").values()]
    yield Entry("target label right", len(ours), len(right), f"{sum(value > 0 for value in right)} of {len(right)}")
    # Of a trigger that is inserted there are variants; an attack's name in a grid may be anything.
    for kind, inside in (("words and sentences", True), ("style and syntax", False)):
        mine = [record for record in ours if ("variant ASR" in record["figures"]) is inside]
        told = [
            [value for record in mine for value in _values(record, figure).values()]
            for figure in ("precision", "recall")
        ]
        text = " / ".join(f"{statistics.fmean(rows):.3f} (lowest {min(rows):.3f})" if rows else "-" for rows in told)
        yield Entry(f"flagged rows, {kind}: precision / recall", len(mine), max(map(len, told)), text)
    for figure, what, reference, worst in (
        ("excess ASR", "excess ASR (points above a victim trained on clean rows)", None, max),
        ("excess variant ASR", "excess ASR of the best variant of the trigger", None, max),
        ("CACC", "CACC against the oracle filter (points)", ORACLE, min),
        ("CACC", "CACC against a victim trained on clean rows (points)", CLEAN, min),
    ):
        means, runs = [], 0
        for record in ours:
            found = _values(record, figure)
            if reference is not None:
                other = _values(_partner(record, members, reference), figure)
                found = {seed: found[seed] - other[seed] for seed in found.keys() & other.keys()}
            if found:
                means.append(100 * statistics.fmean(found.values()))
                runs += len(found)
        if means:
            spread = f", deviation over the pairs {statistics.stdev(means):.1f}" if len(means) > 1 else ""
            text = f"mean {statistics.fmean(means):+.1f}, lowest {min(means):+.1f}, highest {max(means):+.1f}{spread}"
            yield Entry(f"{what}; worst pair {worst(means):+.1f}", len(means), runs, text)


def _values(record: Record, figure: str) -> dict[int, float]:
    """The figure of each seed that has it."""
    told = record.get("figures", {}).get(figure)
    if told is None:
        return {}
    return {seed: value for seed, value in zip(record["seeds"], told["values"], strict=True) if value is not None}


def _partner(record: Record, members: Sequence[Record], defender: str) -> Record:
    same = ("dataset", "attack")
    return next(
        (item for item in members if item["defender"] == defender and all(item[key] == record[key] for key in same)), {}
    )
