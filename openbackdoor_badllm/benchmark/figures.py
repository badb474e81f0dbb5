"""From finished cells to the records of ``table.json``: one for each line of each pair, over its seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.cell import Cell, host_of
from openbackdoor_badllm.benchmark.compare import compare
from openbackdoor_badllm.benchmark.published import MEANS, theirs
from openbackdoor_badllm.benchmark.records import (
    CLEAN,
    FIGURES,
    GROUP,
    NONE,
    ORACLE,
    REFERENCES,
    Record,
    defenders_of,
    grouped,
    mean_of,
    pair_of,
    present,
)
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.evaluation.measuring import CLEAN as CLEAN_LINE
from openbackdoor_badllm.evaluation.measuring import DEFENDED, UNDEFENDED
from openbackdoor_badllm.evaluation.measuring import ORACLE as ORACLE_LINE

REFERENCE_LINES = {UNDEFENDED: NONE, ORACLE_LINE: ORACLE, CLEAN_LINE: CLEAN}
PAIR = ("victim", "setting", "rate", "dataset", "attack", "profile")
# Names under which a line of results.json tells a figure.
_NAMES = {
    **{name: name for name in ("CACC", "ASR", "R-Acc", "FRR", "FAR", "AUROC", "seconds")},
    "peak_memory_mb": "memory", "peak_gpu_memory_mb": "memory",  # the later one counts: the GPU's where there is one
}  # fmt: skip


@dataclass
class _Line:
    """One line of one finished cell."""

    cell: Cell
    defender: str
    figures: dict[str, float | None]
    found: str | None = None
    variants: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """The record that it belongs to."""
        return *_pair(self.cell), self.defender


@dataclass
class Results:
    """The finished cells of a benchmark, read once each."""

    out: Path
    _read: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, cell: Cell) -> dict[str, Any] | None:
        """``results.json`` of a cell; None before its end."""
        if cell.folder not in self._read:
            try:
                text = (self.out / cell.folder / RESULTS).read_text(encoding="utf-8")
                self._read[cell.folder] = json.loads(text)
            except (OSError, ValueError):
                return None
        return self._read[cell.folder]


def table(cells: Sequence[Cell], out: Path, *, name: str, ours: str, results: Results | None = None) -> dict[str, Any]:
    """The content of ``table.json``; see :mod:`openbackdoor_badllm.benchmark`."""
    results = results or Results(out)
    lines = [line for cell in cells for line in _lines(cell, results.of(cell))]
    _add_excess(lines)
    records: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in cells:
        failure = cell.failure(out)
        for defender in cell.defenders:
            record = records.setdefault((*_pair(cell), defender), _record(cell, defender, ours))
            if failure is not None:
                record["failures"].append({"seed": cell.seed, "cell": cell.folder, "sentence": failure})
    for key, record in records.items():
        mine = [line for line in lines if line.key == key]
        record["seeds"] = [line.cell.seed for line in mine]
        record["cells"] = [line.cell.folder for line in mine]
        found = [line.found for line in mine if line.found is not None]
        if found:
            record["found"] = found
        named = [figure for figure in FIGURES if any(figure in line.figures for line in mine)]
        record["figures"] = {figure: spread([line.figures.get(figure) for line in mine]) for figure in named}
    versions = {json.dumps(told, sort_keys=True): told for cell in cells if (told := _versions(results.of(cell)))}
    ordered = _ordered(list(records.values()))
    return {
        "schema": 1,
        "grid": name,
        "ours": ours,
        "host": host_of(cells),
        "versions": list(versions.values()),
        "records": ordered,
        "averages": averages(ordered),
        "comparisons": compare(ordered),
    }


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Values with their mean and sample deviation (0 for one value), over those that are there."""
    numbers = [value for value in values if value is not None]
    return {
        "values": list(values),
        "mean": statistics.fmean(numbers) if numbers else None,
        "std": (statistics.stdev(numbers) if len(numbers) > 1 else 0.0) if numbers else None,
    }


def averages(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Each line over all pairs of a rate, setting and victim."""
    found = []
    for group, members in grouped(records).items():
        pairs = {pair_of(record) for record in members}
        for (defender,), of_defender in grouped(members, "defender").items():
            mine = [record for record in of_defender if record["seeds"]]
            if not mine:
                continue
            paper = MEANS.get(defender) if len(mine) == 12 and all(record["paper"] for record in mine) else None
            found.append(
                {
                    **dict(zip(GROUP, group, strict=True)),
                    "defender": defender,
                    "reference": mine[0]["reference"],
                    "ours": mine[0]["ours"],
                    "pairs": len(mine),
                    "complete": len(mine) == len(pairs),
                    "figures": {f: spread([mean_of(record, f) for record in mine]) for f in present(mine)},
                    "paper": None if paper is None else dict(paper),
                }
            )
    return found


def named_found(report: Mapping[str, Any]) -> str:
    """What BadLLM-TG found, in a few words."""
    if not report["backdoor"]:
        return "no backdoor"
    found = []
    for finding in (report, *report.get("further", ())):
        named = [trigger["text"] for trigger in finding["triggers"]]
        if finding.get("style"):
            named.append(f"style marked by {', '.join(finding['style']['marks'][:4])}")
        label = "" if finding is report else f"toward label {finding['target_label']}: "
        found.append(label + "; ".join(named))
    return "; and ".join(found)


def _pair(cell: Cell) -> tuple[Any, ...]:
    return tuple(getattr(cell, key) for key in PAIR)


def _record(cell: Cell, defender: str, ours: str) -> dict[str, Any]:
    return {
        **{key: getattr(cell, key) for key in PAIR},
        "defender": defender,
        "reference": defender in REFERENCES,
        "ours": defender == ours,
        "seeds": [],
        "cells": [],
        "failures": [],
        "figures": {},
        "paper": theirs(cell.dataset, cell.attack, cell.rate, cell.setting, defender),
    }


def _lines(cell: Cell, results: Mapping[str, Any] | None) -> Iterator[_Line]:
    for line in results["lines"] if results else ():
        name = REFERENCE_LINES.get(line["name"], cell.defender if line["name"] == DEFENDED else None)
        if name is None or results is None:
            continue
        figures: dict[str, float | None] = {
            _NAMES[key]: value for key, value in line.items() if key in _NAMES and (value is None or _is_number(value))
        }
        variants = {key: value for key, value in (line.get("variants") or {}).items() if _is_number(value)}
        if variants:
            figures["variant ASR"] = max(variants.values())
        found = None
        if line["name"] == DEFENDED:
            figures.update(_of_report(results))
            report = results.get("report")
            found = named_found(report) if report and "triggers" in report else None
        yield _Line(cell, name, figures, found, variants)


def _of_report(results: Mapping[str, Any]) -> dict[str, float | None]:
    """What only BadLLM-TG tells."""
    report, truth = results.get("report") or {}, results.get("truth") or {}
    figures: dict[str, float | None] = {
        figure: truth[key]
        for figure, key in (("precision", "flagged_precision"), ("recall", "flagged_recall"))
        if key in truth
    }
    if "target_label_right" in truth:
        figures["label right"] = float(truth["target_label_right"])
    if "backdoor" in report:
        figures["backdoor"] = float(report["backdoor"])
    usage = (report.get("llm") or {}).get("usage")
    if usage:
        figures |= {"LLM calls": usage["calls"], "LLM tokens": usage["paid_tokens"], "LLM money": usage["money"]}
    return figures


def _add_excess(lines: Sequence[_Line]) -> None:
    """Writes the ASR above the floor, that of a victim trained on clean rows, same pair and seed.

    Of the variants of the trigger, the one that is farthest above its own floor counts.
    """
    floors = {(_pair(line.cell), line.cell.seed): line for line in lines if line.defender == CLEAN}
    for line in lines:
        floor = floors.get((_pair(line.cell), line.cell.seed))
        if floor is None:
            continue
        asr, clean = line.figures.get("ASR"), floor.figures.get("ASR")
        if asr is not None and clean is not None:
            line.figures["excess ASR"] = asr - clean
        above = [value - floor.variants[name] for name, value in line.variants.items() if name in floor.variants]
        if above:
            line.figures["excess variant ASR"] = max(above)


def _ordered(records: Sequence[dict[str, Any]]) -> list[Any]:
    """Group by group, pair by pair; in a pair ``none`` first, ``oracle`` and ``clean`` last."""
    ordered: list[Any] = []
    for members in grouped(records).values():
        for pair in grouped(members, "dataset", "attack").values():
            names = defenders_of(pair)
            ordered += sorted(pair, key=lambda record: names.index(record["defender"]))
    return ordered


def _versions(results: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return results.get("versions") if results else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
