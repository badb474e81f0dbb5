"""Reads the output folder of ``run_benchmark.py``; :mod:`openbackdoor_badllm.benchmark` says what lies in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.html_report.pictures.canvas import label
from openbackdoor_badllm.html_report.run_source import read_object

TABLE, PLAN, GRID, FAILURE = "table.json", "plan.json", "grid.yaml", "failure.json"
LONGEST_GRID = 20_000  # characters


@dataclass(frozen=True)
class CellState:
    """One cell of the plan.

    Attributes:
        name: what it is, in words.
        folder: relative to the benchmark's folder.
        state: ``done``, ``failed`` or ``missing``.
        failure: why it failed, in a sentence.
        page: its own report or its results, relative to the benchmark's folder; empty when there is neither.
    """

    name: str
    folder: str
    state: str
    failure: str = ""
    page: str = ""


@dataclass
class BenchmarkFiles:
    """What a benchmark left so far; the lists are those of ``table.json``."""

    name: str
    ours: str
    records: list[dict[str, Any]] = field(default_factory=list)
    averages: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    cells: list[CellState] = field(default_factory=list)
    grid: str = ""
    host: dict[str, Any] = field(default_factory=dict)


def is_benchmark(folder: Path) -> bool:
    """Whether a folder is the output of a benchmark, finished or not."""
    return not (folder / RESULTS).is_file() and any((folder / name).is_file() for name in (TABLE, PLAN))


def open_benchmark(folder: Path) -> BenchmarkFiles:
    """Reads a benchmark.

    Raises:
        ConfigError: no cell is finished and none has failed, or the tables are another version's.
    """
    table, plan = read_object(folder / TABLE), read_object(folder / PLAN) or {}
    if table is None and (folder / TABLE).is_file():
        raise ConfigError(
            f"'{folder / TABLE}' is not a table of this version: the same run_benchmark.py makes it anew from the "
            "finished cells."
        )
    table = table or {}
    cells = [_cell(folder, cell) for cell in _objects(plan.get("cells"))]
    files = BenchmarkFiles(
        name=str(table.get("grid") or plan.get("grid") or "benchmark"),
        ours=str(table.get("ours") or plan.get("ours") or ""),
        records=_objects(table.get("records")),
        averages=_objects(table.get("averages")),
        comparisons=_objects(table.get("comparisons")),
        versions=_objects(table.get("versions")),
        cells=cells,
        grid=_text(folder / GRID),
        host=table["host"] if isinstance(table.get("host"), dict) else {},
    )
    if not any(record.get("cells") for record in files.records) and not any(cell.failure for cell in cells):
        raise ConfigError(
            f"The benchmark in '{folder}' has no finished cell yet: the same run_benchmark.py goes on with it; then "
            "ask for the report again."
        )
    return files


def _cell(folder: Path, cell: dict[str, Any]) -> CellState:
    rate = cell.get("rate")
    shown = f"{100 * rate:g}%" if isinstance(rate, int | float) else ""
    dataset, attack, setting = (label(cell.get(key, "?")) for key in ("dataset", "attack", "setting"))
    named = label(cell.get("defender") or "references")
    name = f"{dataset} {attack} {setting} {shown}, {named}, seed {cell.get('seed')}"
    place = str(cell.get("folder", ""))
    path = folder / place
    if not place or not path.resolve().is_relative_to(folder.resolve()):
        return CellState(name, place, "missing")
    if (path / RESULTS).is_file():
        page = next(item for item in ("report.html", RESULTS) if (path / item).is_file())
        return CellState(name, place, "done", page=f"{place}/{page}")
    failure = read_object(path / FAILURE)
    if failure is not None:
        return CellState(name, place, "failed", str(failure.get("sentence") or "It failed and did not say why."))
    return CellState(name, place, "missing")


def _objects(values: Any) -> list[dict[str, Any]]:
    items: Iterable[Any] = values if isinstance(values, list) else []
    return [item for item in items if isinstance(item, dict)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:LONGEST_GRID]
    except OSError:
        return ""


def as_line(versions: dict[str, Any]) -> str:
    """Versions in one line."""
    return ", ".join(f"{name} {value}" for name, value in versions.items())
