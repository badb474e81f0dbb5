"""The interface of a progress listener.

The library reports; only the command line draws. A listener gets short events and must not raise.
"""

from __future__ import annotations

import logging
from typing import Protocol

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Hears how far a job is."""

    def stage(self, name: str) -> None:
        """A new stage begins, for instance "train the undefended victim"."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` units of the current stage are finished."""


class Quiet:
    """Tells the log and nobody else."""

    def stage(self, name: str) -> None:
        """Logs the stage at INFO."""
        logger.info("%s", name)

    def step(self, done: int, total: int, note: str = "") -> None:
        """Logs the step at DEBUG."""
        logger.debug("%d/%d %s", done, total, note)
