"""Progress on stderr: lines where there is no terminal, nothing when quiet, and no markup from names."""

from __future__ import annotations

import io
import re
from contextlib import suppress

from rich.console import Console

from openbackdoor_badllm.evaluation.console import ConsoleProgress


def draw(*, terminal: bool = False, quiet: bool = False) -> str:
    stream = io.StringIO()
    with ConsoleProgress(Console(file=stream, force_terminal=terminal, width=100), quiet=quiet) as progress:
        progress.stage("[red]one[/red] [/oops]")
        progress.step(1, 2, "[/note]")
        progress.stage("two")
        progress.step(2, 2)
    return stream.getvalue()


def test_lines_without_a_terminal() -> None:
    lines = [re.sub(r"\d+ s$", "N s", line) for line in draw().splitlines()]
    assert lines == ["... [red]one[/red] [/oops]", "    [red]one[/red] [/oops]: N s", "... two", "    two: N s"]


def test_an_interrupted_stage_is_not_called_done() -> None:
    stream = io.StringIO()
    with suppress(KeyboardInterrupt), ConsoleProgress(Console(file=stream)) as progress:
        progress.stage("one")
        raise KeyboardInterrupt
    assert stream.getvalue() == "... one\n"
