"""Progress of a benchmark on stderr: a bar on a terminal, a line for each cell elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from openbackdoor_badllm.benchmark.cells import Cell
from openbackdoor_badllm.benchmark.estimate import duration
from openbackdoor_badllm.benchmark.runner import DONE, Ended
from openbackdoor_badllm.evaluation.console import printable


class View:
    """Counts cells; use it as a context manager.

    Args:
        console: where.
        cells: those that will run.
        quiet: show nothing.

    Attributes:
        inner: hears of the steps within a cell, on a terminal; None elsewhere.
    """

    def __init__(self, console: Console, cells: Sequence[Cell], *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.total = len(cells)
        self.done = self.failed = 0
        self._began = time.monotonic()
        self.live = console.is_terminal and not quiet
        self._bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console, transient=True,
        )  # fmt: skip
        self._cells: TaskID | None = None
        self.inner: _Inner | None = _Inner(self._bars) if self.live else None

    def __enter__(self) -> View:
        if self.live:
            self._bars.start()
            self._cells = self._bars.add_task("cells", total=self.total, note=f"0 of {self.total}")
        elif not self.quiet:
            self.console.print(f"{self.total} cells to run", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._bars.stop()

    def ended(self, ended: Ended, results: Mapping[str, Any] | None) -> None:
        """A cell has ended: one line, whatever the terminal."""
        good = ended.state == DONE
        self.done += good
        self.failed += not good
        gone = self.done + self.failed
        left = (time.monotonic() - self._began) / gone * (self.total - gone)
        note = f"{gone} of {self.total}, {self.failed} failed, about {duration(left)} left"
        if self.live and self._cells is not None:
            self._bars.update(self._cells, completed=gone, note=note)
        if self.quiet:
            return
        told = _figures(results) if good else f"{ended.state}: {ended.sentence}"
        tail = "" if gone == self.total else f"; about {duration(left)} left"
        line = f"[{gone}/{self.total}] {ended.cell.title}: {told} ({duration(ended.seconds)}){tail}"
        style = None if good else "red"
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True, style=style)


class _Inner:
    """The stage within a cell, as a second bar."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str) -> None:
        """A new stage."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(escape(name), total=None, note="")

    def step(self, done: int, total: int, note: str = "") -> None:
        """Moves the bar."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=escape(note))


def _figures(results: Mapping[str, Any] | None) -> str:
    """CACC / ASR of each line."""
    shown = []
    for line in (results or {}).get("lines", []):
        numbers = ["-" if line[key] is None else f"{100 * line[key]:.1f}" for key in ("CACC", "ASR")]
        shown.append(f"{line['name']} {' / '.join(numbers)}")
    return ", ".join(shown) or "done"
