"""A framework with OpenBackdoor's traps, and the real one where it is found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbackdoor_badllm.host.upstream import importing
from openbackdoor_badllm.host.upstream.finding import VARIABLE

sys.path.insert(0, str(Path(__file__).parent))

HEAVY = ("umap", "hdbscan", "jsonlines", "OpenAttack", "strsimpy", "language_tool_python")


@pytest.fixture
def untouched() -> Iterator[None]:
    """No OpenBackdoor is imported before, none is left behind; the finder is as it was."""
    importing.purge()
    finder = importing.hook()
    home, finders = finder.home, sys.meta_path[:]
    finder.home = None
    yield
    importing.purge()
    finder.home = home
    sys.meta_path[:] = finders


@pytest.fixture
def checkout(tmp_path: Path, untouched: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of the framework with the traps, named by the environment; the heavy packages are absent."""
    from fake import write_framework

    home = write_framework(tmp_path / "checkout")
    monkeypatch.setenv(VARIABLE, str(home))
    for module in HEAVY:
        monkeypatch.setitem(sys.modules, module, None)
    return home


@pytest.fixture
def real(untouched: None) -> Path:
    """The folder of the real OpenBackdoor's package; skips where there is none."""
    from openbackdoor_badllm.host.upstream.finding import find

    spec = find(skip=importing.hook())
    if spec is None or spec.origin is None:
        pytest.skip(f"the real OpenBackdoor is neither installed nor named by {VARIABLE}")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Path(spec.origin).parent
