"""Progress of a benchmark on stderr: a line for each cell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from openbackdoor_badllm.benchmark.cell import DONE, Ended
from openbackdoor_badllm.evaluation.console import printable


class View:
    """Counts cells, and tells of each.

    Args:
        console: where.
        total: how many cells will run.
        quiet: show nothing.
    """

    def __init__(self, console: Console, total: int, *, quiet: bool = False) -> None:
        self.console, self.total, self.quiet = console, total, quiet
        self.gone, self.began = 0, time.monotonic()
        if not quiet:
            console.print(f"{total} cells to run", highlight=False)

    def ended(self, ended: Ended, results: Mapping[str, Any] | None) -> None:
        """A cell has ended."""
        self.gone += 1
        left = (time.monotonic() - self.began) / self.gone * (self.total - self.gone)
        tail = f"; about {duration(left)} left" if self.gone < self.total else ""
        good = ended.state == DONE
        told = _figures(results) if good else f"{ended.state}: {ended.sentence}"
        line = f"[{self.gone}/{self.total}] {ended.cell.title}: {told} ({duration(ended.seconds)}){tail}"
        if not self.quiet:
            style = None if good else "red"
            self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True, style=style)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _figures(results: Mapping[str, Any] | None) -> str:
    """CACC / ASR of each line."""
    shown = []
    for line in (results or {}).get("lines", []):
        numbers = ["-" if line[key] is None else f"{100 * line[key]:.1f}" for key in ("CACC", "ASR")]
        shown.append(f"{line['name']} {' / '.join(numbers)}")
    return ", ".join(shown) or "done"
