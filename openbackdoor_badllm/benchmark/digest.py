"""Summary figures of a benchmark: target labels right, flagged rows, excess ASR and CACC.

Differences are taken within a seed, then averaged over the seeds of a pair; the worst pair is the worst such mean.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openbackdoor_badllm.benchmark.records import CLEAN, ORACLE, Record, grouped, pair_of
from openbackdoor_badllm.benchmark.table_text import Part, Row, Table

DIFFERENCES = (
    ("excess ASR", "excess ASR (points above a victim trained on clean rows)", None, max),
    ("excess variant ASR", "excess ASR of the best variant of the trigger", None, max),
    ("CACC", "CACC against the oracle filter (points)", ORACLE, min),
    ("CACC", "CACC against a victim trained on clean rows (points)", CLEAN, min),
)


def digest(made: Mapping[str, Any]) -> list[Table]:
    """A table for each rate, setting, victim and profile with finished cells of ours.

    Args:
        made: the content of ``table.json``.
    """
    tables = []
    for (rate, setting, victim, profile), members in grouped(made["records"]).items():
        ours = [record for record in members if record["ours"] and record["seeds"]]
        rows = [row for row in (_poisoned(ours, members) if rate else _clean(ours)) if row.cells[1][0].text != "0"]
        if ours:
            what = f"{100 * rate:g} % poisoned ({setting})" if rate else "clean rows"
            title = f"{victim}, profile {profile}, {what}"
            tables.append(Table(title, "", ("figure", "pairs", "runs", "found"), rows))
    return tables


def _row(what: str, pairs: int, runs: int, text: str) -> Row:
    return Row(what, [[Part(str(pairs))], [Part(str(runs))], [Part(text)]])


def _clean(ours: Sequence[Record]) -> Iterator[Row]:
    """Clean sets: all that can be found there is a false alarm."""
    said = [value for record in ours for value in _values(record, "backdoor").values()]
    sets = len({record["dataset"] for record in ours})
    yield _row("false alarms on clean sets", sets, len(said), f"{sum(value > 0 for value in said)} of {len(said)}")


def _poisoned(ours: Sequence[Record], members: Sequence[Record]) -> Iterator[Row]:
    right = [value for record in ours for value in _values(record, "label right").values()]
    yield _row("target label right", len(ours), len(right), f"{sum(value > 0 for value in right)} of {len(right)}")
    # Of a trigger that is inserted there are variants; an attack's name in a grid may be anything.
    for kind, inside in (("words and sentences", True), ("style and syntax", False)):
        mine = [record for record in ours if ("variant ASR" in record["figures"]) is inside]
        told = [
            [value for record in mine for value in _values(record, figure).values()]
            for figure in ("precision", "recall")
        ]
        text = " / ".join(f"{statistics.fmean(rows):.3f} (lowest {min(rows):.3f})" if rows else "-" for rows in told)
        yield _row(f"flagged rows, {kind}: precision / recall", len(mine), max(map(len, told)), text)
    for figure, what, reference, worst in DIFFERENCES:
        found = [_differences(record, figure, reference, members) for record in ours]
        means = [100 * statistics.fmean(values) for values in found if values]
        if means:
            spread = f", deviation over the pairs {statistics.stdev(means):.1f}" if len(means) > 1 else ""
            text = f"mean {statistics.fmean(means):+.1f}, lowest {min(means):+.1f}, highest {max(means):+.1f}{spread}"
            yield _row(f"{what}; worst pair {worst(means):+.1f}", len(means), sum(map(len, found)), text)


def _differences(record: Record, figure: str, reference: str | None, members: Sequence[Record]) -> list[float]:
    """The figure of each seed, less that of a reference of the same pair and seed where one is named."""
    mine = _values(record, figure)
    if reference is None:
        return list(mine.values())
    others = [item for item in members if item["defender"] == reference and pair_of(item) == pair_of(record)]
    theirs = _values(others[0], figure) if others else {}
    return [mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys()]


def _values(record: Record, figure: str) -> dict[int, float]:
    """The figure of each seed that has it."""
    values = record["figures"].get(figure, {}).get("values", ())
    return {seed: value for seed, value in zip(record["seeds"], values, strict=False) if value is not None}
