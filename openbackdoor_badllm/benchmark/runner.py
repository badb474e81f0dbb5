"""Runs the missing cells of a benchmark and tells how each ended.

A finished cell is not run again; one that failed says why in its folder, is left as it is (``retry_failed`` runs it
again) and does not stop the rest. Each cell is held by a lock of the operating system while it runs: a second runner
on the same folder takes others, and a process that dies leaves a cell that is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from openbackdoor_badllm.benchmark.cell import ELSEWHERE, FAILED, TO_RUN, Cell, Ended, Settings
from openbackdoor_badllm.benchmark.executors import Executor


def missing(cells: Sequence[Cell], out: Path, *, retry_failed: bool = False) -> list[Cell]:
    """The cells that a run would make."""
    wanted = (TO_RUN, FAILED) if retry_failed else (TO_RUN,)
    return [cell for cell in cells if cell.state(out) in wanted]


def run_cells(cells: Sequence[Cell], executor: Executor, settings: Settings) -> Iterator[Ended]:
    """Runs cells, those of :func:`missing`, and hands on how each ended."""
    elsewhere: list[Cell] = []
    for ended in executor.run(cells, settings):
        if ended.state == ELSEWHERE:
            elsewhere.append(ended.cell)
        else:
            yield ended
    # What another runner had in hand: wait for it, and do it where that runner did not come to the end.
    if elsewhere:
        yield from executor.run(elsewhere, replace(settings, wait=True))
