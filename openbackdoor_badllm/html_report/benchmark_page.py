"""The page of a benchmark; :mod:`openbackdoor_badllm.benchmark` says what lies in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.digest import digest
from openbackdoor_badllm.benchmark.records import NONE, Record, group_of, mean_of, pair_of
from openbackdoor_badllm.benchmark.tables import sections
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import RESULTS, read_object
from openbackdoor_badllm.html_report.page import percent, relative, render
from openbackdoor_badllm.html_report.pictures.benchmark import benchmark_pictures
from openbackdoor_badllm.html_report.pictures.canvas import Picture, label
from openbackdoor_badllm.openbackdoor.host import UPSTREAM

TABLE, PLAN, GRID, FAILURE = "table.json", "plan.json", "grid.yaml", "failure.json"
LONGEST_GRID = 20_000  # characters
EMPTY: dict[str, Any] = {"records": [], "averages": [], "comparisons": [], "versions": [], "host": {}}


def is_benchmark(folder: Path) -> bool:
    """Whether a folder is the output of a benchmark, finished or not."""
    return not (folder / RESULTS).is_file() and any((folder / name).is_file() for name in (TABLE, PLAN))


def benchmark_page(folder: Path, page: Path) -> tuple[str, list[Picture]]:
    """The page of what there is, and its pictures.

    Raises:
        ConfigError: no cell is finished and none has failed, or the tables are another version's.
    """
    table, plan = read_object(folder / TABLE), read_object(folder / PLAN) or {}
    if table is None and (folder / TABLE).is_file():
        raise ConfigError(
            f"'{folder / TABLE}' is not a table of this version: the same run_benchmark.py makes it anew from the "
            "finished cells."
        )
    made = {**EMPTY, "grid": plan.get("grid", "benchmark"), "ours": plan.get("ours", ""), **(table or {})}
    records = [record for record in made["records"] if record["cells"]]
    cells = [_cell(folder, cell) for cell in plan.get("cells", [])]
    failed = _failed(cells, made["records"])
    if not records and not failed:
        raise ConfigError(
            f"The benchmark in '{folder}' has no finished cell yet: the same run_benchmark.py goes on with it; then "
            "ask for the report again."
        )
    made["records"] = records
    pictures = benchmark_pictures(records, made["averages"])
    lead, *more = [*_leads(made["averages"])] or ["No average of our defence can be given yet."]
    grid = folder / GRID
    html = render(
        "benchmark.html.j2",
        title=f"Benchmark {label(made['grid'])}",
        about=_about(made),
        verdict={"kind": "other", "heading": f"{label(made['ours'])}: what is left of the attacks", "sentence": lead},
        remarks=[*more, *_counts(cells, failed)],
        failed=failed,
        digest=digest(made),
        tables=list(sections(made)) if table else [],
        pictures=pictures,
        cells=cells,
        grid=grid.read_text(encoding="utf-8", errors="replace")[:LONGEST_GRID] if grid.is_file() else "",
        versions=[", ".join(f"{name} {value}" for name, value in told.items()) for told in made["versions"]],
        link=lambda name: relative(folder / name, page),
    )
    return html, pictures


def _cell(folder: Path, cell: Mapping[str, Any]) -> dict[str, str]:
    """A cell of the plan: what it is, its state, why it failed, and its own page or results."""
    rate, place = cell["rate"], str(cell["folder"])
    named = f"{pair_of(cell)} {cell['setting']} {100 * rate:g}%, {cell['defender'] or 'references'}"
    told = {"name": f"{named}, seed {cell['seed']}", "folder": place, "state": "missing", "failure": "", "page": ""}
    path = folder / place
    if not path.resolve().is_relative_to(folder.resolve()):
        return told
    failure = read_object(path / FAILURE)
    if (path / RESULTS).is_file():
        page = next(name for name in ("report.html", RESULTS) if (path / name).is_file())
        told.update(state="done", page=f"{place}/{page}")
    elif failure is not None:
        told.update(state="failed", failure=str(failure["sentence"]))
    return told


def _failed(cells: Sequence[dict[str, str]], records: Sequence[Record]) -> list[dict[str, str]]:
    """Cells that failed, by the plan and by the tables; each once."""
    failed = {cell["folder"]: cell for cell in cells if cell["state"] == "failed"}
    for record in records:
        for item in record["failures"]:
            name = f"{pair_of(record)}, {record['defender']}, seed {item['seed']}"
            failed.setdefault(item["cell"], {"name": name, "folder": item["cell"], "failure": item["sentence"]})
    return list(failed.values())


def _about(made: Mapping[str, Any]) -> str:
    records = made["records"]
    if not records:
        return "No cell came to its end."

    def listed(key: str) -> str:
        return ", ".join(dict.fromkeys(label(record[key]) for record in records))

    seeds = sorted({seed for record in records for seed in record["seeds"]})
    host = made["host"]
    on = f"; host: the real OpenBackdoor, commit {label(host['revision'])}" if host.get("name") == UPSTREAM else ""
    return (
        f"Data sets {listed('dataset')}; attacks {listed('attack')}; victims {listed('victim')}; profile "
        f"{listed('profile')}; seeds {', '.join(map(str, seeds))}{on}"
    )


def _leads(averages: Sequence[Record]) -> Iterator[str]:
    """Ours in words beside no defence, for each rate, setting and victim."""
    for ours in averages:
        if ours["ours"]:
            beside = [item for item in averages if item["defender"] == NONE and group_of(item) == group_of(ours)]
            figures = []
            for figure, without in (("ASR", "without a defence"), ("CACC", "without")):
                plain = f" ({percent(mean_of(beside[0], figure))} {without})" if beside else ""
                figures.append(f"{percent(mean_of(ours, figure))}{plain}")
            pairs = f"{ours['pairs']} pair{'' if ours['pairs'] == 1 else 's'}"
            yield (
                f"{100 * float(ours['rate']):g}% poisoned ({label(ours['setting'])}), {label(ours['victim'])}: "
                f"{label(ours['defender'])} leaves a mean ASR of {figures[0]} over {pairs}, at a clean accuracy of "
                f"{figures[1]}" + ("." if ours["complete"] else "; some pairs are missing.")
            )


def _counts(cells: Sequence[dict[str, str]], failed: Sequence[dict[str, str]]) -> Iterator[str]:
    if cells:
        states = [cell["state"] for cell in cells]
        yield (
            f"{states.count('done')} of {len(cells)} cells are finished, {len(failed)} failed, "
            f"{states.count('missing')} not run yet."
        )
