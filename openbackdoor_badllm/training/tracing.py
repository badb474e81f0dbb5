"""Training dynamics: the confidence of a victim in each row's own label while it learns.

The values come with the training steps themselves: each row is seen once an epoch, and the probability that the step
computes for its label is kept. They cost no forward pass. Stage (a) of the paper reads their variance (Eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_FILE = "trace.npz"


@dataclass(frozen=True)
class Trace:
    """Confidence of the victim in each row's own label.

    Attributes:
        steps: optimisation steps at the end of each epoch, shape ``(T,)``.
        confidence: probabilities in [0, 1], as the training step of that epoch saw them (dropout included), shape
            ``(T, n)``.
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


class TraceRecorder:
    """Collects the confidence of each row as the training steps compute it.

    Args:
        labels: labels of the training rows, shape ``(n,)``.
        epochs: passes through the rows.
        steps_per_epoch: optimisation steps of a pass.
    """

    def __init__(self, labels: npt.NDArray[np.int64], epochs: int, steps_per_epoch: int) -> None:
        self.labels, self.steps_per_epoch = labels, steps_per_epoch
        self.values = np.full((epochs, len(labels)), np.nan, dtype=np.float32)

    def add(self, step: int, rows: npt.NDArray[np.int64], confidence: npt.NDArray[np.float32]) -> None:
        """Keeps the confidence of some rows; ``step`` counts optimisation steps from 0."""
        self.values[min(step // self.steps_per_epoch, len(self.values) - 1), rows] = confidence

    def resume(self, folder: Path) -> None:
        """Goes on from the trace that was kept with a checkpoint."""
        if Trace.exists(folder):
            kept = Trace.read(folder).confidence
            if kept.shape == self.values.shape:
                self.values = kept.copy()

    def write(self, folder: Path) -> None:
        """Keeps what was recorded, gaps included."""
        self._trace(self.values).write(folder)

    def trace(self) -> Trace:
        """The trace. A row that this process has not seen in an epoch gets the mean of the others."""
        seen = np.isfinite(self.values)
        means = np.where(seen, self.values, 0).sum(axis=1) / np.maximum(1, seen.sum(axis=1))
        return self._trace(np.where(seen, self.values, means[:, None]).astype(np.float32))

    def _trace(self, values: npt.NDArray[np.float32]) -> Trace:
        steps = np.arange(1, len(values) + 1, dtype=np.int64) * self.steps_per_epoch
        return Trace(steps, values, self.labels)
