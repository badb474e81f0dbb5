"""Finds the real OpenBackdoor: a named checkout, else an installed package."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

from openbackdoor_badllm.errors import ConfigError

PACKAGE = "openbackdoor"
VARIABLE = "OPENBACKDOOR_HOME"
HOW_TO_GET_IT = (
    f"clone https://github.com/thunlp/OpenBackdoor and name the folder with --openbackdoor or {VARIABLE}, or install "
    "the clone with pip install --no-deps -e (docs/openbackdoor.md)"
)


def package_folder(home: Path) -> Path:
    """The package inside a checkout; the package's own folder is accepted too.

    Raises:
        ConfigError: there is none.
    """
    for folder in (home / PACKAGE, home):
        if (folder / "__init__.py").is_file() and (folder / "defenders").is_dir():
            return folder
    raise ConfigError(f"There is no OpenBackdoor in '{home}': expected the folder of a clone, with '{PACKAGE}/' in it.")


def find(home: Path | None = None, *, skip: object = None) -> ModuleSpec | None:
    """The import spec of OpenBackdoor, without importing it; None where there is none.

    Args:
        home: a checkout; else the one that ``OPENBACKDOOR_HOME`` names, else what Python's own finders see.
        skip: a finder on ``sys.meta_path`` that is not asked.

    Raises:
        ConfigError: a checkout is named that is none.
    """
    named = home or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        folder = package_folder(named.expanduser()).resolve()
        return spec_from_file_location(PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)])
    for finder in list(sys.meta_path):
        search = getattr(finder, "find_spec", None)
        spec = search(PACKAGE, None) if search is not None and finder is not skip else None
        # A folder of that name without __init__.py (data, for instance) is a namespace, not the framework.
        if spec is not None and spec.origin is not None:
            return spec  # type: ignore[no-any-return]
    return None


def revision(folder: Path) -> str:
    """What tells one OpenBackdoor from another: the commit of its checkout, else ``"unknown"``.

    Args:
        folder: its package folder.
    """
    git = folder.parent / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        pass
    return "unknown"
