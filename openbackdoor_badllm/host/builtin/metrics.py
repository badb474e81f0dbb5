"""Metrics, with OpenBackdoor's meaning: CACC is the accuracy on clean test rows, ASR the share of poisoned test rows
(all of them non-target originally) that the victim calls the target label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.rows import Row


def accuracy(predictions: npt.NDArray[np.int64], rows: Sequence[Row]) -> float:
    """Share of rows whose prediction is their label; nan without rows."""
    if not rows:
        return float("nan")
    return float((predictions == np.array([row.label for row in rows])).mean())
