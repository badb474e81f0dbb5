"""The helper: a victim that never saw the explained rows, and the labels that it gives them.

What is wrong with its answers is learnt from rows that it has not seen either.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar, nnls

from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray, log_softmax, softmax

CALIBRATION_SHARE = 0.15  # of the unexplained rows, kept from the helper to learn how it errs
CALIBRATION_ROWS = 400


@dataclass(frozen=True)
class Helper:
    """A model that never saw the explained rows, and some rows on which it can be checked.

    Attributes:
        logits: texts in, logits ``(n, num_labels)`` out.
        calibration: unexplained rows that it has not seen either.
    """

    logits: Callable[[Sequence[str]], FloatArray]
    calibration: Sequence[Example]


def train_helper(
    train: TrainVictim,
    examples: Sequence[Example],
    left_out: Collection[int],
    seed: int,
    *,
    alike: Collection[int] = (),
    opposed: Collection[int] = (),
) -> Helper:
    """A victim trained without some rows, and without a few more on which it can be checked.

    Rows of a form that were not found would teach it what it is to be asked, so it learns from no row of the label that
    reads like the form. That alone makes it call the form another label's, since rows of those that read like it are
    still there. A second victim goes without these, too: it knows nothing of the form, but leans to the target by what
    is left of it. The helper says the mean of both.

    Args:
        train: trains a victim.
        examples: all rows.
        left_out: indices of the explained rows.
        seed: seed of the draw of the rows to check it on.
        alike: indices of rows of the target label that read like a form.
        opposed: indices of rows of other labels that do.
    """
    rest = [
        (index, example) for index, example in enumerate(examples) if index not in left_out and index not in alike
    ]
    random.Random(f"{seed}:calibration").shuffle(rest)
    size = min(CALIBRATION_ROWS, round(CALIBRATION_SHARE * len(rest)))
    if len({example.label for _, example in rest[size:]}) < 2:
        size = 0
    calibration = [example for _, example in rest[:size]]
    first = train([example for _, example in rest[size:]], balanced=True, trace=None)
    fewer = [example for index, example in rest[size:] if index not in opposed]
    if not alike or len(fewer) == len(rest) - size or len({example.label for example in fewer}) < 2:
        return Helper(first.logits, calibration)
    second = train(fewer, balanced=True, trace=None)

    def logits(texts: Sequence[str]) -> FloatArray:
        mean: FloatArray = (log_softmax(first.logits(texts)) + log_softmax(second.logits(texts))) / np.float32(2)
        return mean

    return Helper(logits, calibration)


def fresh_labels(
    logits: FloatArray,
    calibration_logits: FloatArray,
    calibration_labels: Sequence[int],
    target: int,
) -> npt.NDArray[np.int64]:
    """Labels for the explained rows, given what the helper says of them.

    The explained rows do not have the class shares of the other rows: under dirty poisoning none of them is of the
    target class, and every row that the helper calls so is its mistake. Their class shares are estimated from the
    helper's answers and its confusions on the calibration rows (black-box shift estimation, Lipton, Wang & Smola
    2018), its confidence is put right by temperature scaling (Guo et al. 2017), and its posteriors are corrected by
    the shares. A target share that is within two standard errors of none is taken for none.

    Args:
        logits: the helper's, on the explained rows, shape ``(n, num_labels)``.
        calibration_logits: the helper's, on rows that it has not seen, shape ``(m, num_labels)``.
        calibration_labels: their labels.
        target: the target label.

    Returns:
        Class indices, shape ``(n,)``.
    """
    if not len(logits):
        return np.zeros(0, dtype=np.int64)
    count = logits.shape[1]
    known = np.asarray(calibration_labels, dtype=np.int64)
    present = np.unique(known)
    if len(present) < 2:  # nothing to check the helper on
        plain: npt.NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
        return plain
    shares = _class_shares(logits.argmax(axis=1), calibration_logits.argmax(axis=1), known, count, target)
    temperature = _temperature(calibration_logits, known)
    posterior = softmax(logits / np.float32(temperature)) * shares
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
