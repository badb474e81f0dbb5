"""Stand-ins for packages that OpenBackdoor imports at its top and that are not installed.

Each is there only while OpenBackdoor is imported; what it imported of them says, when it is called, which package is
wanted. ``import openbackdoor`` then works with pandas beside what this package needs anyway; CUBE still needs the
real umap and hdbscan.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from openbackdoor_badllm.errors import ConfigError, MissingExtraError, UserError

# Module: the package that brings it, and the modules below it that are imported by name.
HEAVY: dict[str, tuple[str, tuple[str, ...]]] = {
    "language_tool_python": ("language-tool-python", ()),
    "sentence_transformers": ("sentence-transformers", ()),
    "strsimpy": ("strsimpy", ("levenshtein",)),
    "jsonlines": ("jsonlines", ()),
    "OpenAttack": ("OpenAttack", ()),
    "umap": ("umap-learn", ()),
    "hdbscan": ("hdbscan", ()),
    "matplotlib": ("matplotlib", ("pyplot",)),
}
STYLE = "openbackdoor.attackers.poisoners.utils.style.inference_utils"


class Absent:
    """Something of a package that is not there: takes any attribute, and says what is missing when it is called."""

    def __init__(self, why: Callable[[], UserError]) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(self._why)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise self._why()


class _StubModule(types.ModuleType):
    def __init__(self, name: str, why: Callable[[], UserError]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._why = why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(self._why)


def absent() -> list[str]:
    """Which of the heavy modules are not installed."""
    return [module for module in HEAVY if not _present(module)]


@contextmanager
def stand_ins(package: Path) -> Iterator[list[str]]:
    """Stubs for what is absent while the block runs; yields the names.

    Args:
        package: folder of OpenBackdoor: a plain ``pip install`` of it loses sub-packages, which are stubbed too.
    """
    made: dict[str, types.ModuleType] = {}
    for module in absent():
        distribution, below = HEAVY[module]
        for name in (module, *(f"{module}.{part}" for part in below)):
            made[name] = _StubModule(name, _missing(module, distribution))
    if not (package / "attackers/poisoners/utils/style/inference_utils.py").is_file():
        made[STYLE] = _StubModule(STYLE, _lost)
    before = {name: sys.modules[name] for name in made if name in sys.modules}  # None where an import is blocked
    sys.modules.update(made)
    try:
        yield list(made)
    finally:
        for name, stub in made.items():
            if sys.modules.get(name) is stub:
                del sys.modules[name]
        sys.modules.update(before)


def _present(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _missing(module: str, distribution: str) -> Callable[[], UserError]:
    return lambda: MissingExtraError(distribution, "openbackdoor", f"What was called in OpenBackdoor ('{module}')")


def _lost() -> UserError:
    return ConfigError(
        "This OpenBackdoor was installed with a plain pip install, which leaves out its paraphrasers: use its clone "
        "(--openbackdoor, OPENBACKDOOR_HOME) or pip install --no-deps -e."
    )
