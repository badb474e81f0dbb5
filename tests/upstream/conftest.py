"""A framework with OpenBackdoor's traps, and the real one where it is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbackdoor_badllm.openbackdoor import importing
from openbackdoor_badllm.openbackdoor.finding import VARIABLE

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
    from openbackdoor_badllm.openbackdoor.finding import find

    spec = find(skip=importing.hook())
    if spec is None or spec.origin is None:
        pytest.skip(f"the real OpenBackdoor is neither installed nor named by {VARIABLE}")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Path(spec.origin).parent


# A fresh process, in which the plugin is imported first of all, as in anybody's script.
_TRACES = """
import logging, os, random, sys, warnings
import numpy, torch

def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ), "path": list(sys.path), "filters": list(warnings.filters),
        "handlers": root.handlers[:], "level": root.level, "python": random.getstate(),
        "numpy": [str(part) for part in numpy.random.get_state(legacy=True)], "torch": torch.get_rng_state().tolist(),
    }

logging.getLogger().addHandler(logging.NullHandler())
before = state()
import openbackdoor_badllm
changed = [key for key, value in state().items() if value != before[key]]
assert "openbackdoor" not in sys.modules and not changed, changed
import transformers.processing_utils, sklearn.base
between = state()
import openbackdoor
from openbackdoor.defenders import DEFENDERS
changed = [key for key, value in state().items() if value != between[key]]
assert "badllmtg" in DEFENDERS and not changed, changed
"""


def leaves_no_trace(folder: Path) -> None:
    """Runs a fresh process that imports the plugin, then OpenBackdoor, and compares what both may not change."""
    script = folder / "traces.py"
    script.write_text(_TRACES, encoding="utf-8")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout == ""
