"""Fresh labels for flagged rows: what their texts say without the trigger.

Two models are asked. The content reference fitted without the flagged rows has never seen them. The victim knows more
of the task, but it has learnt the attacker's label for these very texts, so of it only the comparison of the other
labels counts where the flagged rows turn out to hold none of the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar, nnls

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.training.scoring import FloatArray, log_softmax, softmax
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_inversion.attribution import FlaggedRow

CALIBRATION_ROWS = 400


def relabel(
    rows: Sequence[FlaggedRow],
    victim: Classifier,
    evidence: RowEvidence,
    target: int,
    flagged: npt.NDArray[np.bool_],
    unlearnt: Mapping[int, FloatArray],
) -> npt.NDArray[np.int64]:
    """A label for each flagged row, shape ``(len(rows),)``.

    Args:
        rows: the flagged rows of one backdoor.
        victim: trained on all rows.
        evidence: the training rows.
        target: the target label.
        flagged: all flagged rows, shape ``(n,)``: neither model is calibrated on them.
        unlearnt: by row of a style, logits of a victim that has unlearnt other rows of the style. A style stays in the
            text, so its rows get what their text says to models without it, and no correction of the class shares: if
            all of them got other labels, the style would point to these.
    """
    if not rows:
        return np.zeros(0, dtype=np.int64)
    reference = evidence.reference_without(flagged)
    labels = np.zeros(len(rows), dtype=np.int64)
    plain = [place for place, row in enumerate(rows) if not row.style]
    styled = [place for place, row in enumerate(rows) if row.style]
    if plain:
        texts = [rows[place].text_without for place in plain]
        held = np.flatnonzero(~flagged)
        held = held[:: max(1, len(held) // CALIBRATION_ROWS)]
        said = np.log(np.clip(reference(texts), 1e-4, 1)).astype(np.float32)
        known = np.log(np.clip(evidence.held_out[held], 1e-4, 1)).astype(np.float32)
        labels[plain] = fresh_labels(
            said, known, evidence.labels[held].tolist(), target, beside=log_softmax(victim.logits(texts))
        )
    if styled:
        texts = [rows[place].text_without for place in styled]
        said = np.log(np.clip(reference(texts), 1e-4, 1)).astype(np.float32)
        for place, row in enumerate(styled):
            other = unlearnt.get(rows[row].index)
            if other is not None:
                said[place] = (said[place] + log_softmax(other[None, :])[0]) / 2
        labels[styled] = said.argmax(axis=1)
    return labels


def fresh_labels(
    logits: FloatArray,
    calibration_logits: FloatArray,
    calibration_labels: Sequence[int],
    target: int,
    *,
    beside: FloatArray | None = None,
) -> npt.NDArray[np.int64]:
    """Labels for flagged rows, given what a model says of their texts without the trigger.

    The flagged rows do not have the class shares of the other rows: under dirty poisoning none of them is of the
    target class, and every row that the model calls so is its mistake. Their class shares are estimated from the
    model's answers and its confusions on the calibration rows (black-box shift estimation, Lipton, Wang & Smola
    2018), its confidence is put right by temperature scaling (Guo et al. 2017), and its posteriors are corrected by
    the shares. A target share that is within two standard errors of none is taken for none.

    Args:
        logits: the model's, on the flagged rows, shape ``(n, num_labels)``.
        calibration_logits: the model's, on rows that it has not seen, shape ``(m, num_labels)``.
        calibration_labels: their labels.
        target: the target label.
        beside: log-probabilities of a second model on the flagged rows, shape ``(n, num_labels)``, which counts as much
            in the comparison of the labels.

    Returns:
        Class indices, shape ``(n,)``.
    """
    if not len(logits):
        return np.zeros(0, dtype=np.int64)
    count = logits.shape[1]
    known = np.asarray(calibration_labels, dtype=np.int64)
    present = np.unique(known)
    if len(present) < 2:  # nothing to check the model on
        plain: npt.NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
        return plain
    shares = _class_shares(logits.argmax(axis=1), calibration_logits.argmax(axis=1), known, count, target)
    temperature = _temperature(calibration_logits, known)
    scaled = log_softmax(logits / np.float32(temperature))
    posterior = softmax(scaled if beside is None else (scaled + beside) / np.float32(2)) * shares
    labels: npt.NDArray[np.int64] = posterior.argmax(axis=1).astype(np.int64)
    return labels


def _class_shares(
    said: npt.NDArray[np.int64],
    calibration_said: npt.NDArray[np.int64],
    known: npt.NDArray[np.int64],
    count: int,
    target: int,
) -> npt.NDArray[np.float64]:
    """Class shares of rows, from what a model says of them and how it errs; shape ``(count,)``, sum 1."""
    confusion = np.zeros((count, count))  # column y: how rows of class y are called; half a row of smoothing
    for label in range(count):
        counts = np.bincount(calibration_said[known == label], minlength=count)
        confusion[:, label] = (counts + 0.5 / count) / (counts.sum() + 0.5)
    seen = np.bincount(said, minlength=count) / len(said)
    absent = ~np.isin(np.arange(count), known)
    confusion[:, absent] = 0.0
    shares, _ = nnls(confusion, seen)
    shares /= max(shares.sum(), 1e-9)
    others, honest = known != target, known == target
    if others.any() and honest.any() and shares.sum() > shares[target]:
        false_rate = (float((calibration_said[others] == target).sum()) + 0.5) / (float(others.sum()) + 1)
        true_rate = (float((calibration_said[honest] == target).sum()) + 0.5) / (float(honest.sum()) + 1)
        # The share is (seen - false rate) / (true rate - false rate); both rates in the numerator are counts.
        variance = false_rate * (1 - false_rate) / others.sum() + seen[target] * (1 - seen[target]) / len(said)
        if shares[target] < 2 * math.sqrt(variance) / max(0.1, true_rate - false_rate):
            shares[target] = 0.0
    result: npt.NDArray[np.float64] = shares / max(shares.sum(), 1e-9)
    return result


def _temperature(logits: FloatArray, labels: npt.NDArray[np.int64]) -> float:
    """The temperature that makes held-out labels most likely."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.float32(math.exp(log_temperature)))
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return math.exp(float(minimize_scalar(loss, bounds=(-1.5, 2.5), method="bounded").x))
