"""Confidence traces: how sure the victim is of each row's own label while it learns.

Stage (a) of the paper reads the variance of these traces (Eq. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.rows import Example, fingerprint

_FILE = "trace.npz"


@dataclass(frozen=True)
class TraceRequest:
    """Which rows are watched, and when."""

    examples: Sequence[Example]
    points: int = 24
    """Points of the trace."""
    fraction: float = 1.0
    """The part of the training that is watched, from its beginning."""

    def schedule(self, total_steps: int) -> list[int]:
        """The optimisation steps after which a point is taken; ascending, without repeats."""
        last = max(1, round(total_steps * self.fraction))
        return sorted({max(1, round(last * (k + 1) / self.points)) for k in range(self.points)})

    def describe(self) -> str:
        """Text that differs where the trace would."""
        return f"{fingerprint(self.examples)}:{self.points}:{self.fraction}"


@dataclass(frozen=True)
class Trace:
    """Confidence of the victim in each row's own label.

    Attributes:
        steps: optimisation steps, shape ``(T,)``.
        confidence: probabilities in [0, 1], shape ``(T, n)``.
        labels: the rows' labels, shape ``(n,)``.
    """

    steps: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def write(self, folder: Path) -> None:
        """Keeps the trace in a folder."""
        np.savez(folder / _FILE, steps=self.steps, confidence=self.confidence, labels=self.labels)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds a trace."""
        return (folder / _FILE).is_file()

    @staticmethod
    def read(folder: Path) -> Trace:
        """The trace kept in a folder; nothing is unpickled."""
        with np.load(folder / _FILE, allow_pickle=False) as data:
            return Trace(data["steps"], data["confidence"], data["labels"])
