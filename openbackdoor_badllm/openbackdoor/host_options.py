"""``--host`` and ``--openbackdoor``, the same for every command."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from openbackdoor_badllm.openbackdoor.host import BUILTIN, HOSTS, Host, open_host


def add_host(command: argparse.ArgumentParser) -> None:
    """The options that say who attacks and trains; see :func:`openbackdoor_badllm.openbackdoor.host.open_host`."""
    command.add_argument(
        "--host", choices=HOSTS, default=BUILTIN,
        help="builtin (default), upstream: the real OpenBackdoor, auto: the real one where it can be imported",
    )
    command.add_argument(
        "--openbackdoor", type=Path, metavar="DIR",
        help="clone of OpenBackdoor (else OPENBACKDOOR_HOME, else the installed one)",
    )


def take_host(options: argparse.Namespace, complaints: Console) -> Host:
    """The host of these options; says on stderr where ``auto`` fell back."""
    host = open_host(options.host, options.openbackdoor)
    if host.fallback:
        complaints.print(
            f"The host is the built-in one. {host.fallback}", markup=False, highlight=False, soft_wrap=True
        )
    return host
