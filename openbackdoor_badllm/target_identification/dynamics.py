"""Stage (a): which labels are suspicious, and which of their rows (paper, section 2.3).

``paper``: Eq. 4 to the letter. ``robust`` (default): rows whose text contradicts their label although the victim is
sure of it. The result orders the labels and the rows for stage (b), which searches every label and decides.

Eq. 4 alone does not hold on small models: the variance of the confidence follows the class balance (the rows of the
smaller class climb farther) and the time at which an attack is learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace

TOP_SHARE = 0.05
"""Share of the rows whose labels are counted in Eq. 4."""


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for one label being the target.

    Attributes:
        label: the label.
        suspicion: by which the labels are ordered, in [0, 1].
        variance_share: its share of the 5 % of rows whose confidence varies most (Eq. 4); None without a trace.
        contradicted: share of its rows whose text says another label to the content reference.
        base_rate: its share of all rows.
    """

    label: int
    suspicion: float
    variance_share: float | None
    contradicted: float
    base_rate: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "label": self.label,
            "suspicion": round(self.suspicion, 4),
            "variance_share": None if self.variance_share is None else round(self.variance_share, 4),
            "contradicted": round(self.contradicted, 4),
            "base_rate": round(self.base_rate, 4),
        }


@dataclass(frozen=True)
class TargetIdentification:
    """Labels in the order of suspicion.

    Attributes:
        method: ``robust``, ``paper``, ``none`` or ``given``.
        evidence: one entry for each label that occurs, most suspicious first.
        weights: how suspicious each row is as a row of its own label, shape ``(n,)``; 1 on average in each label.
        views: several rankings of the rows, for a reader who is shown the top of each; shape ``(n,)`` each.
    """

    method: str
    evidence: tuple[LabelEvidence, ...]
    weights: FloatArray = field(repr=False)
    views: tuple[FloatArray, ...] = field(repr=False)

    @property
    def labels(self) -> list[int]:
        """The labels, most suspicious first."""
        return [item.label for item in self.evidence]


def identify_target(
    labels: npt.NDArray[np.int64], held_out: FloatArray, confidence: FloatArray, trace: Trace | None, *, method: str
) -> TargetIdentification:
    """Orders labels and rows by suspicion.

    Args:
        labels: of the rows, shape ``(n,)``.
        held_out: held-out probabilities of the content reference, shape ``(n, num_labels)``.
        confidence: the victim's probability of each row's label, shape ``(n,)``.
        trace: the confidence while the victim learnt; None where its training is not known.
        method: ``robust``, ``paper`` or ``none``.

    Raises:
        ValueError: an unknown method, or ``paper`` without a trace.
    """
    if method not in ("robust", "paper", "none"):
        raise ValueError(f"unknown target method {method!r}; expected robust, paper or none")
    if method == "paper" and trace is None:
        raise ValueError("Eq. 4 needs the trace of a training, and the victim brings none")
    rows = np.arange(len(labels))
    doubt = 1 - held_out[rows, labels]
    contradicted = held_out.argmax(axis=1) != labels
    strange = doubt * confidence
    variance = trace.confidence.var(axis=0) if trace is not None else None
    top = _top(variance) if variance is not None else None
    evidence = []
    for label in np.unique(labels):
        own = labels == label
        share = float((labels[top] == label).mean()) if top is not None else None
        robust = float((contradicted & (confidence > 0.5))[own].mean())
        suspicion = {"robust": robust, "paper": share or 0.0, "none": 0.0}[method]
        evidence.append(LabelEvidence(int(label), suspicion, share, float(contradicted[own].mean()), float(own.mean())))
    ranked = sorted(evidence, key=lambda item: (-item.suspicion, item.label))
    score = variance if method == "paper" and variance is not None else strange
    weights = np.ones(len(labels), dtype=np.float32) if method == "none" else _weights(labels, score)
    views = [strange.astype(np.float32), doubt.astype(np.float32)]
    return TargetIdentification(method, tuple(ranked), weights, tuple(views))


def _top(values: FloatArray) -> npt.NDArray[np.int64]:
    count = max(1, round(TOP_SHARE * len(values)))
    order: npt.NDArray[np.int64] = np.argsort(-values, kind="stable")[:count]
    return order


def _weights(labels: npt.NDArray[np.int64], score: Sequence[float] | FloatArray) -> FloatArray:
    """Weights from 0.5 to 2.5 by rank within the label, mean 1.

    They tilt the mining toward suspicious rows and leave no row out.
    """
    weights = np.ones(len(labels), dtype=np.float32)
    values = np.asarray(score)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        ranks = np.argsort(np.argsort(values[rows], kind="stable"), kind="stable") / max(1, len(rows) - 1)
        raw = 0.5 + 2.0 * ranks**3
        weights[rows] = raw / raw.mean()
    return weights
