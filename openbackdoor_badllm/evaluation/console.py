"""Progress of a run on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def printable(text: str) -> str:
    """Text of unknown origin on one line of a terminal: what has no shape becomes a replacement character."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class ConsoleProgress:
    """Draws progress; use it as a context manager.

    Args:
        console: where; a terminal gets bars, anything else a line for each stage.
        quiet: draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.live = console.is_terminal and not quiet
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._began = time.monotonic()

    def __enter__(self) -> ConsoleProgress:
        if self.live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        if self.live:
            self._bars.stop()

    def stage(self, name: str) -> None:
        """Ends the stage before with its time, begins the next."""
        self._close()
        self._name, self._began = name, time.monotonic()
        if self.live:
            self._task = self._bars.add_task(escape(name), total=None, note="")
        elif not self.quiet:
            self.console.print(f"... {name}", highlight=False, markup=False)

    def step(self, done: int, total: int, note: str = "") -> None:
        """Moves the bar."""
        if self.live and self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=escape(note))

    def _close(self) -> None:
        if not self._name:
            return
        seconds = time.monotonic() - self._began
        if self.live and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        if not self.quiet:
            self.console.print(f"    {self._name}: {seconds:.0f} s", highlight=False, markup=False)
        self._name = ""
