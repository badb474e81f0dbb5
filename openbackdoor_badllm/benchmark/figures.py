"""From finished cells to the records of ``table.json``: one for each line of each pair, over its seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.cells import Cell, host_of
from openbackdoor_badllm.benchmark.compare import GROUP, compare, group_of
from openbackdoor_badllm.benchmark.grid import CLEAN, NONE, ORACLE, REFERENCES
from openbackdoor_badllm.benchmark.published import MEANS, theirs
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.evaluation.measuring import CLEAN as CLEAN_LINE
from openbackdoor_badllm.evaluation.measuring import DEFENDED, UNDEFENDED
from openbackdoor_badllm.evaluation.measuring import ORACLE as ORACLE_LINE

REFERENCE_LINES = {UNDEFENDED: NONE, ORACLE_LINE: ORACLE, CLEAN_LINE: CLEAN}
FIGURES = (
    "CACC", "ASR", "excess ASR", "R-Acc", "variant ASR", "excess variant ASR", "FRR", "FAR", "AUROC", "precision",
    "recall", "label right", "backdoor", "seconds", "memory", "LLM calls", "LLM tokens", "LLM money",
)  # fmt: skip
"""In the order of the tables. Lower is better of LOWER, higher of HIGHER; the others are not ranked."""
LOWER = ("ASR", "FRR", "FAR", "excess ASR", "variant ASR")
HIGHER = ("CACC", "R-Acc", "AUROC")
SHARES = frozenset(FIGURES[: FIGURES.index("seconds")])
# Names under which a line of results.json may tell the same figure.
_NAMES = {
    **{name: name for name in ("CACC", "ASR", "R-Acc", "FRR", "FAR", "AUROC", "seconds")},
    "peak_memory_mb": "memory", "peak_gpu_memory_mb": "memory",  # the later one counts: the GPU's where there is one
}  # fmt: skip


class Key(NamedTuple):
    """What one record stands for."""

    victim: str
    setting: str
    rate: float
    dataset: str
    attack: str
    profile: str
    defender: str

    @property
    def group(self) -> tuple[str, str, float, str]:
        """What is averaged over: all but the pair and the defender."""
        return self.victim, self.setting, self.rate, self.profile

    @property
    def pair(self) -> tuple[Any, ...]:
        """All but the defender."""
        return self[:-1]


@dataclass
class _Line:
    """One line of one finished cell."""

    key: Key
    seed: int
    cell: str
    figures: dict[str, float | None]
    found: str | None = None
    variants: dict[str, float] = field(default_factory=dict)


@dataclass
class Results:
    """The finished and failed cells of a benchmark, read once each."""

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
    lines = [line for cell in cells for line in _lines(cell, results)]
    _excess(lines)
    records: dict[Key, dict[str, Any]] = {}
    for cell in cells:  # in their order, the references of a pair first
        for key in _keys(cell):
            records.setdefault(key, _record(key, ours))
            failure = cell.failure(out)
            if failure is not None:
                records[key]["failures"].append({"seed": cell.seed, "cell": cell.folder, "sentence": failure})
    for line in lines:
        record = records.setdefault(line.key, _record(line.key, ours))
        record["seeds"].append(line.seed)
        record["cells"].append(line.cell)
        if line.found is not None:
            record.setdefault("found", []).append(line.found)
    for key, record in records.items():
        mine = [line.figures for line in lines if line.key == key]
        named = [figure for figure in FIGURES if any(figure in figures for figures in mine)]
        record["figures"] = {figure: spread([figures.get(figure) for figures in mine]) for figure in named}
    ordered = _ordered(records)
    return {
        "schema": 1,
        "grid": name,
        "ours": ours,
        "host": host_of(cells),
        "versions": _versions(cells, results),
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


def averages(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each line over all pairs of a rate, setting and victim."""
    found = []
    for group in dict.fromkeys(group_of(record) for record in records):
        members = [record for record in records if group_of(record) == group]
        all_pairs = {(record["dataset"], record["attack"]) for record in members}
        for defender in dict.fromkeys(record["defender"] for record in members):
            mine = [record for record in members if record["defender"] == defender and record["seeds"]]
            if not mine:
                continue
            named = [figure for figure in FIGURES if any(figure in record["figures"] for record in mine)]
            paper = MEANS.get(defender) if len(mine) == 12 and all(record["paper"] for record in mine) else None
            found.append(
                {
                    **dict(zip(GROUP, group, strict=True)),
                    "defender": defender,
                    "reference": mine[0]["reference"],
                    "ours": mine[0]["ours"],
                    "pairs": len(mine),
                    "complete": len(mine) == len(all_pairs),
                    "figures": {
                        figure: spread([record["figures"].get(figure, {}).get("mean") for record in mine])
                        for figure in named
                    },
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


def _record(key: Key, ours: str) -> dict[str, Any]:
    return {
        **key._asdict(),
        "reference": key.defender in REFERENCES,
        "ours": key.defender == ours,
        "seeds": [],
        "cells": [],
        "failures": [],
        "figures": {},
        "paper": theirs(key.dataset, key.attack, key.rate, key.setting, key.defender),
    }


def _keys(cell: Cell) -> list[Key]:
    """The records that a cell has a line for."""
    names = [NONE] if "undefended" in cell.lines else []
    names += [cell.defender] if cell.defender and "defended" in cell.lines else []
    names += [ORACLE, CLEAN] if "references" in cell.lines else []
    return [_key(cell, name) for name in names]


def _key(cell: Cell, defender: str) -> Key:
    return Key(cell.victim, cell.setting, cell.rate, cell.dataset, cell.attack, cell.profile, defender)


def _lines(cell: Cell, read: Results) -> Iterator[_Line]:
    results = read.of(cell)
    for line in results["lines"] if results is not None else ():
        name = REFERENCE_LINES.get(line["name"], cell.defender if line["name"] == DEFENDED else None)
        if name is None or results is None:
            continue
        figures: dict[str, float | None] = {}
        for said, value in line.items():
            figure = _NAMES.get(said)
            if figure is not None and (value is None or _is_number(value)):
                figures[figure] = value
        variants = {name: value for name, value in (line.get("variants") or {}).items() if _is_number(value)}
        if variants:
            figures["variant ASR"] = max(variants.values())
        found = None
        if line["name"] == DEFENDED:
            figures.update(_of_report(results))
            report = results.get("report")
            found = named_found(report) if report and "triggers" in report else None
        yield _Line(_key(cell, name), cell.seed, cell.folder, figures, found, variants)


def _of_report(results: Mapping[str, Any]) -> dict[str, float | None]:
    """What only BadLLM-TG tells."""
    report, truth = results.get("report") or {}, results.get("truth") or {}
    figures: dict[str, float | None] = {}
    for figure, key in (("precision", "flagged_precision"), ("recall", "flagged_recall")):
        if key in truth:
            figures[figure] = truth[key]
    if "target_label_right" in truth:
        figures["label right"] = float(truth["target_label_right"])
    if "backdoor" in report:
        figures["backdoor"] = float(report["backdoor"])
    usage = (report.get("llm") or {}).get("usage")
    if usage:
        figures["LLM calls"] = usage["calls"]
        figures["LLM tokens"] = usage["paid_tokens"]
        figures["LLM money"] = usage["money"]
    return figures


def _excess(lines: Sequence[_Line]) -> None:
    """Writes the ASR above the floor, that of a victim trained on clean rows, same pair and seed.

    Of the variants of the trigger, the one that is farthest above its own floor counts.
    """
    floors = {(line.key.pair, line.seed): line for line in lines if line.key.defender == CLEAN}
    for line in lines:
        floor = floors.get((line.key.pair, line.seed))
        if floor is None:
            continue
        asr, clean = line.figures.get("ASR"), floor.figures.get("ASR")
        if asr is not None and clean is not None:
            line.figures["excess ASR"] = asr - clean
        above = [value - floor.variants[name] for name, value in line.variants.items() if name in floor.variants]
        if above:
            line.figures["excess variant ASR"] = max(above)


def _ordered(records: Mapping[Key, dict[str, Any]]) -> list[dict[str, Any]]:
    """Group by group, pair by pair; in a pair ``none`` first, ``oracle`` and ``clean`` last."""
    groups = list(dict.fromkeys(key.group for key in records))
    pairs = list(dict.fromkeys(key.pair for key in records))
    order = {NONE: 0, ORACLE: 2, CLEAN: 3}
    keys = sorted(
        records, key=lambda key: (groups.index(key.group), pairs.index(key.pair), order.get(key.defender, 1))
    )
    return [records[key] for key in keys]


def _versions(cells: Sequence[Cell], results: Results) -> list[dict[str, Any]]:
    distinct: dict[str, dict[str, Any]] = {}
    for cell in cells:
        versions = (results.of(cell) or {}).get("versions")
        if versions:
            distinct.setdefault(json.dumps(versions, sort_keys=True), versions)
    return list(distinct.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
