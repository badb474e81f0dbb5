"""What several commands share: exit codes in words, the options of everything that leaves a run's folder, the store."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openbackdoor_badllm.errors import ConfigError

if TYPE_CHECKING:
    from openbackdoor_badllm.training.store import Store

EXIT_CODES = (
    "exit codes: 0 done; 1 a defect of this program; 2 bad input, told in one sentence; 3 found (--fail-on); "
    "130 interrupted"
)
Commands = Any
"""What ``add_subparsers`` returns: a private class of argparse."""


def add_run(command: argparse.ArgumentParser, *, example: str, out: str) -> None:
    """The options of everything that leaves a run's folder."""
    command.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help=f"change a config key, for instance {example}; may be repeated",
    )
    command.add_argument("--seed", type=int, help="seed of everything that is drawn (default 42)")
    command.add_argument("--out", type=Path, metavar="DIR", help=f"run folder (default {out})")
    command.add_argument("--force", action="store_true", help="run again although the folder holds results")
    command.add_argument("--json", action="store_true", help="print results.json instead of the summary")
    add_machine(command)


def add_machine(command: argparse.ArgumentParser) -> None:
    """The options of everything that trains."""
    command.add_argument("--cache", type=Path, metavar="DIR", help="where trained victims are kept between runs")
    command.add_argument("--quiet", action="store_true", help="no progress")


def print_json(value: Any) -> None:
    """A value as JSON on stdout."""
    from openbackdoor_badllm.evaluation.folder import as_json

    sys.stdout.write(as_json(value))


def open_store(folder: Path | None) -> Store:
    """The store of trained victims.

    Raises:
        ConfigError: its folder cannot be written.
    """
    from openbackdoor_badllm.training.store import Store

    store = Store(folder)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(store.folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"The cache folder '{store.folder}' cannot be written ({reason}): name another with --cache."
        ) from None
    return store
