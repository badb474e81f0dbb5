"""Metrics, with OpenBackdoor's meaning: CACC is the accuracy on clean test rows, ASR the share of poisoned test rows
(all of them non-target originally) that the victim calls the target label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from openbackdoor_badllm.rows import Row


def accuracy(predictions: npt.NDArray[np.int64], rows: Sequence[Row]) -> float:
    """Share of rows whose prediction is their label; nan without rows."""
    return share(predictions, [row.label for row in rows])


def share(predictions: npt.NDArray[np.int64], labels: Sequence[int]) -> float:
    """Share of predictions that are the label; nan without any."""
    if not len(labels):
        return float("nan")
    return float((predictions == np.array(labels)).mean())


def auroc(scores: npt.NDArray[np.float64], poisoned: npt.NDArray[np.bool_]) -> float:
    """Chance that a poisoned row scores above a clean one, ties counted half (the area under the ROC curve).

    Infinite scores are allowed. nan without rows of both kinds, or with a score that is nan.
    """
    positives, negatives = int(poisoned.sum()), int((~poisoned).sum())
    if not positives or not negatives or np.isnan(scores).any():
        return math.nan
    ranks = rankdata(scores)
    return float((ranks[poisoned].sum() - positives * (positives + 1) / 2) / (positives * negatives))
