"""Runs the missing cells of a benchmark and yields the outcome of each.

A finished cell is not run again; one that failed says why in its folder, is left as it is (``retry_failed`` runs it
again) and does not stop the rest. Each cell is held by a lock of the operating system while it runs: a second runner
on the same folder takes others, and a process that dies leaves a cell that is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.cells import Cell, host_of
from openbackdoor_badllm.benchmark.executors import Executor
from openbackdoor_badllm.benchmark.task import Task
from openbackdoor_badllm.benchmark.work import DONE, ELSEWHERE, FAILED, HELD_BACK
from openbackdoor_badllm.evaluation.folder import as_json, write_changed

PLAN = "plan.json"
TO_RUN = "to run"


class Ended(NamedTuple):
    """How a cell ended.

    Attributes:
        state: ``done``, ``failed`` or ``held back`` (by the LLM budget).
        sentence: why it is not done.
        seconds: what it took now.
    """

    cell: Cell
    state: str
    sentence: str = ""
    seconds: float = 0.0


def state(cell: Cell, out: Path) -> str:
    """``done``, ``failed`` or ``to run``, as the cell's folder says."""
    if cell.done(out):
        return DONE
    return FAILED if cell.failure(out) is not None else TO_RUN


def missing(cells: Sequence[Cell], out: Path, *, retry_failed: bool = False) -> list[Cell]:
    """The cells that a run would make."""
    wanted = (TO_RUN, FAILED) if retry_failed else (TO_RUN,)
    return [cell for cell in cells if state(cell, out) in wanted]


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    executor: Executor,
    *,
    cache: Path | None = None,
    budget: dict[str, Any] | None = None,
    name: str = "local",
    openbackdoor: Path | None = None,
) -> Iterator[Ended]:
    """Runs cells and hands on each when it has ended.

    Args:
        cells: those to run; see :func:`missing`.
        out: output folder.
        executor: where they run.
        cache: where trained victims and answers are kept.
        budget: of all cells together; see :mod:`.spending`.
        name: of the executor, for ``made.json``.
        openbackdoor: the real OpenBackdoor's folder, for cells that run on it; see :attr:`.Host.home`.
    """
    known = {cell.folder: cell for cell in cells}
    tasks = [
        Task(
            str(out.resolve()),
            cell.folder,
            cell.entry(),
            cell.config,
            cell.identity,
            cell.lines,
            cache=str(cache.resolve()) if cache else None,
            executor=name,
            budget=budget or {},
            host=cell.host["name"],
            openbackdoor=str(openbackdoor) if openbackdoor else None,
        )
        for cell in cells
    ]
    elsewhere: list[Task] = []
    for task, outcome in executor.run(tasks):
        if outcome["state"] == ELSEWHERE:
            elsewhere.append(replace(task, wait=True))
        else:
            yield Ended(known[task.folder], outcome["state"], outcome["sentence"], outcome["seconds"])
    # What another runner had in hand: wait for it, and do it where that runner did not come to the end.
    for task, outcome in executor.run(elsewhere) if elsewhere else ():
        yield Ended(known[task.folder], outcome["state"], outcome["sentence"], outcome["seconds"])


def write_plan(cells: Sequence[Cell], out: Path, *, name: str, ours: str) -> None:
    """``plan.json``: what the folder holds, for whoever reads it."""
    plan = {
        "schema": 1, "grid": name, "ours": ours, "host": host_of(cells), "cells": [cell.entry() for cell in cells],
    }
    write_changed(out / PLAN, as_json(plan))


__all__ = ["DONE", "FAILED", "HELD_BACK", "TO_RUN", "Ended", "missing", "run_cells", "state", "write_plan"]
