"""A time limit that is looked at where a job can stop and still tell what it has; and the wall time of its stages."""

from __future__ import annotations

import time


class Deadline:
    """A moment after which nothing further is begun; what runs is not interrupted.

    Args:
        seconds: from now on; no limit when None.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end


class Laps:
    """Wall time of each stage of a job, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Ends a stage."""
        reached = time.monotonic()
        self.laps[name], self._last = reached - self._last, reached
