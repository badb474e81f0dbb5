"""Stage (a): which label is the target.

``paper``: Eq. 4 to the letter. ``robust`` (default): the same idea made to hold on small models and unbalanced data.

The poison is one rule shared by many rows, so its rows are learnt together: inside some window of the training their
confidence rises at once. Which window that is differs between attacks (an inserted word is learnt before the content,
a syntax after it), so every window is looked at. In each, the 5 % of all rows that rise with the largest variance are
taken, and each label is given

    surprise = excess purity x contradicted share,

the excess purity being (share of the label among them - its base rate) / (1 - base rate), and the contradicted share
the part of its rows among them whose text, to a stiff judge that has not seen them, says another label. A class that
is merely easy or large rises together too, but its texts do not contradict its label. The best window counts.
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
WINDOW_STARTS = (0.0, 0.25, 0.5)
WINDOW_ENDS = (0.25, 0.33, 0.5, 0.67, 0.85, 1.0)
READERS_WINDOWS = ((0.0, 0.25), (0.0, 0.67), (0.0, 1.0))
MIN_ROWS = 6  # fewer rows of a label among the top ones carry no evidence


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for one label being the target.

    Attributes:
        surprise: excess purity times contradicted share, in the best window; at most 1.
        window: that window, as fractions of the trace.
        purity: excess purity there.
        contradicted: contradicted share there.
        base_rate: the label's share of all rows.
    """

    label: int
    surprise: float
    window: tuple[float, float]
    purity: float
    contradicted: float
    base_rate: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "label": self.label,
            "surprise": round(self.surprise, 4),
            "window": list(self.window),
            "excess_purity": round(self.purity, 4),
            "contradicted": round(self.contradicted, 4),
            "base_rate": round(self.base_rate, 4),
        }


@dataclass(frozen=True)
class Nomination:
    """Labels in the order of suspicion.

    Attributes:
        evidence: one entry for each label that occurs, most suspicious first.
        weights: how suspicious each row is as a row of its own label, shape ``(n,)``; 1 on average in each label.
    """

    method: str
    evidence: tuple[LabelEvidence, ...]
    weights: FloatArray = field(repr=False)

    @property
    def label(self) -> int:
        """The most suspicious label."""
        return self.evidence[0].label


def nominate(
    trace: Trace, held_out: FloatArray, num_labels: int, *, method: str = "robust"
) -> Nomination:
    """Ranks the labels.

    Args:
        trace: confidence of each row in its own label over the training.
        held_out: the judge's held-out probabilities, shape ``(n, num_labels)``; not used by ``paper``.
        num_labels: number of classes.
        method: ``robust`` or ``paper``.

    Raises:
        ValueError: unknown method.
    """
    if method == "paper":
        return _paper(trace, num_labels)
    if method != "robust":
        raise ValueError(f"unknown target method {method!r}; expected 'robust' or 'paper'")
    labels = trace.labels
    contradicts = held_out.argmax(axis=1) != labels
    best: dict[int, LabelEvidence] = {}
    for window in windows(len(trace.steps)):
        rises = _rising_variance(trace, window)
        top = _top(rises)
        for label in present(labels, num_labels):
            evidence = _evidence(label, window, top, labels, contradicts)
            if label not in best or evidence.surprise > best[label].surprise:
                best[label] = evidence
    ranked = sorted(best.values(), key=lambda item: (-item.surprise, item.label))
    weights = np.ones(len(labels), dtype=np.float32)
    for item in ranked:
        rows = np.flatnonzero(labels == item.label)
        weights[rows] = _weights(_rising_variance(trace, item.window)[rows], contradicts[rows])
    return Nomination("robust", tuple(ranked), weights)


def windows(points: int) -> list[tuple[float, float]]:
    """The windows of a trace, as fractions; each holds at least three points, or the whole of a shorter trace."""
    return [
        (start, end)
        for start in WINDOW_STARTS
        for end in WINDOW_ENDS
        if end > start + 0.1 and round((end - start) * points) >= 3
    ] or [(0.0, 1.0)]


def suspicions(trace: Trace, held_out: FloatArray) -> list[FloatArray]:
    """Several rankings of the rows, for a reader who is shown the top of each.

    One window is right for a word, learnt early, another for a style, learnt late, and nothing in the trace says which
    is meant. In each the rows that rise and contradict their label come first; the last ranking is the contradiction
    alone.

    Returns:
        Arrays of shape ``(n,)``, comparable within a label only.
    """
    contradiction = 1 - held_out[np.arange(len(trace.labels)), trace.labels]
    views = []
    for window in READERS_WINDOWS:
        view = np.zeros(len(trace.labels), dtype=np.float32)
        rises = _rising_variance(trace, window)
        for label in np.unique(trace.labels):
            rows = np.flatnonzero(trace.labels == label)
            view[rows] = _ranks(rises[rows]) + _ranks(contradiction[rows])
        views.append(view)
    return [*views, contradiction.astype(np.float32)]


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0 to 1."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(1, len(values) - 1)
    return ranks.astype(np.float32)


def present(labels: npt.NDArray[np.int64], num_labels: int) -> list[int]:
    """The labels that occur, ascending."""
    return [label for label in range(num_labels) if (labels == label).any()]


def _paper(trace: Trace, num_labels: int) -> Nomination:
    """Eq. 4: the most frequent label among the 5 % of rows whose confidence varies most."""
    labels = trace.labels
    variance = trace.confidence.var(axis=0)
    top = _top(variance)
    evidence = []
    for label in present(labels, num_labels):
        share = float((labels[top] == label).mean()) if len(top) else 0.0
        base = float((labels == label).mean())
        evidence.append(LabelEvidence(label, share, (0.0, 1.0), share, 0.0, base))
    ranked = sorted(evidence, key=lambda item: (-item.surprise, item.label))
    weights = np.ones(len(labels), dtype=np.float32)
    for label in present(labels, num_labels):
        rows = np.flatnonzero(labels == label)
        weights[rows] = _weights(variance[rows], np.zeros(len(rows), dtype=bool))
    return Nomination("paper", tuple(ranked), weights)


def _rising_variance(trace: Trace, window: tuple[float, float]) -> FloatArray:
    """Variance of each row's confidence in a window; negative where the confidence fell; shape ``(n,)``."""
    points = len(trace.steps)
    first = int(window[0] * points)
    part = trace.confidence[first : max(first + 3, int(window[1] * points))]
    signed: FloatArray = part.var(axis=0) * np.sign(part[-1] - part[0])
    return signed


def _top(values: Sequence[float] | FloatArray) -> npt.NDArray[np.int64]:
    count = max(1, round(TOP_SHARE * len(values)))
    array = np.asarray(values)
    order: npt.NDArray[np.int64] = np.argsort(-array, kind="stable")[:count]
    rising: npt.NDArray[np.int64] = order[array[order] > 0]  # where confidence only falls, nothing rises together
    return rising


def _evidence(
    label: int,
    window: tuple[float, float],
    top: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    contradicts: npt.NDArray[np.bool_],
) -> LabelEvidence:
    base = float((labels == label).mean())
    rows = top[labels[top] == label]
    purity = (len(rows) / max(1, len(top)) - base) / max(1e-9, 1 - base)
    contradicted = float(contradicts[rows].mean()) if len(rows) >= MIN_ROWS else 0.0
    return LabelEvidence(label, max(0.0, purity) * contradicted, window, purity, contradicted, base)


def _weights(rising: FloatArray, contradicts: npt.NDArray[np.bool_]) -> FloatArray:
    """Weights from 0.5 to 2.5 by rank, a contradicted row one more; mean 1.

    They tilt the mining toward suspicious rows and never silence a row: the window may be the wrong one.
    """
    if not len(rising):
        return np.ones(0, dtype=np.float32)
    ranks = np.argsort(np.argsort(rising, kind="stable"), kind="stable") / max(1, len(rising) - 1)
    raw = 0.5 + 2.0 * ranks**3 + contradicts
    weights: FloatArray = (raw / raw.mean()).astype(np.float32)
    return weights
