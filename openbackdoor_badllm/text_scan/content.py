"""What the words of a text say of its label: a linear model of single words, scored on rows that it has not seen.

It knows the words of a trigger, too, and explains their rows by them. So the trigger's words are taken out of a row's
score before the rest of the row is held against its label.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.stats import binom
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from openbackdoor_badllm.text_scan.units import IntArray, Units, is_word

FloatArray = npt.NDArray[np.float64]

FOLDS = 4
MOST_FITTED = 20_000  # rows that a fold is fitted to; the others are scored only
FEWEST = 10  # rows of a label that can be told apart from others
COMPANION = 0.5  # a word in this share of a pattern's rows ...
LIFT = 3.0  # ... and so many times as often as elsewhere goes out with the pattern
UNTOLD = 0.45  # rows of the label that read like those of others more often: nothing can be told
ABSENT = -20.0  # score of a label that a fold has no row of


@dataclass(frozen=True)
class ContentModel:
    """A logistic regression on the presence of words, in folds.

    Attributes:
        features: which text holds which word, shape ``(rows, features)``.
        number: feature of each unit of the vocabulary, -1 where it is none.
        usual: share of all rows that hold each word.
        scores: held-out scores, shape ``(rows, labels)``.
        weights: by fold, shape ``(folds, features, labels)``.
        fold: the fold that a row was held out of, shape ``(rows,)``.
        labels: the labels of the rows.
    """

    features: sparse.csr_matrix
    number: IntArray
    usual: FloatArray
    scores: FloatArray
    weights: npt.NDArray[np.float32]
    fold: IntArray
    labels: IntArray

    @property
    def accuracy(self) -> float:
        """How often the highest held-out score is that of the row's label."""
        return float((self.scores.argmax(axis=1) == self.labels).mean())

    def against(self, label: int, rows: IntArray) -> FloatArray:
        """How far some rows speak against a label: the best other score less that of the label, shape ``(rows,)``."""
        return _margins(self.scores[rows], label)

    def against_without(self, label: int, rows: IntArray, units: IntArray) -> FloatArray:
        """The same without the words of a pattern, and without those that nearly always stand beside it.

        Args:
            label: the label.
            rows: the rows with the pattern.
            units: the units of the pattern.
        """
        held = self.features[rows]
        share = np.bincount(held.indices, minlength=len(self.usual)) / len(rows)
        out = (share >= COMPANION) & (share >= LIFT * self.usual)
        own = self.number[units]
        out[own[own >= 0]] = True
        row = np.repeat(np.arange(len(rows)), np.diff(held.indptr))
        gone = out[held.indices]
        scores = self.scores[rows]
        np.subtract.at(scores, row[gone], self.weights[self.fold[rows][row[gone]], held.indices[gone]])
        return _margins(scores, label)

    def without_class_words(self, label: int, rows: IntArray, words: int) -> FloatArray:
        """How far the words of some rows speak against a label once those that speak most for it are taken out.

        Args:
            label: the label.
            rows: the rows.
            words: how many words of each row.

        Returns:
            Shape ``(rows,)``.
        """
        scores = self.scores[rows]
        for fold in range(FOLDS):
            chosen = np.flatnonzero(self.fold[rows] == fold)
            weights = self.weights[fold]
            gain = weights[:, label] - np.delete(weights, label, axis=1).max(axis=1)
            held = self.features[rows[chosen]]
            row = np.repeat(np.arange(len(chosen)), np.diff(held.indptr))
            order = np.lexsort((-gain[held.indices], row))
            rank = np.arange(len(row)) - held.indptr[:-1][row]
            out = rank < words
            np.subtract.at(scores, chosen[row[out]], weights[held.indices[order[out]]])
        return _margins(scores, label)


def _margins(scores: FloatArray, label: int) -> FloatArray:
    own = scores[:, label].copy()
    scores[:, label] = -np.inf
    return np.asarray(scores.max(axis=1) - own)


def fit(
    units: Units, labels: IntArray, num_labels: int, seed: int, left_out: IntArray | None = None
) -> ContentModel | None:
    """Fits the model; None where there are not two labels of enough rows.

    Args:
        units: the texts.
        labels: their labels.
        num_labels: number of labels.
        seed: of the folds.
        left_out: rows that no fold is fitted to.
    """
    used: npt.NDArray[np.bool_] = np.ones(len(labels), dtype=bool)
    if left_out is not None:
        used[left_out] = False
    counts = np.bincount(labels[used], minlength=num_labels)
    if (counts >= FEWEST).sum() < 2:
        return None
    features, number = _features(units)
    if not features.shape[1]:
        return None
    generator = np.random.default_rng(seed)
    fold = np.empty(len(labels), dtype=np.int64)
    for label in range(num_labels):
        rows = np.flatnonzero(labels == label)
        fold[generator.permutation(rows)] = np.arange(len(rows)) % FOLDS
    scores = np.zeros((len(labels), num_labels))
    weights = np.zeros((FOLDS, features.shape[1], num_labels), dtype=np.float32)
    # The matrices are small, so threads would wait for each other; a rough fit is as good as a finished one.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for index in range(FOLDS):
            known = np.flatnonzero((fold != index) & used)
            if len(known) > MOST_FITTED:
                known = generator.choice(known, MOST_FITTED, replace=False)
            model = LogisticRegression(max_iter=60, tol=1e-3, class_weight="balanced")
            model.fit(features[known], labels[known])
            coefficients, intercept = model.coef_, model.intercept_
            if len(model.classes_) == 2:
                coefficients = np.vstack([-coefficients / 2, coefficients / 2])
                intercept = np.array([-intercept[0] / 2, intercept[0] / 2])
            weights[index][:, model.classes_] = coefficients.T
            bias = np.full(num_labels, ABSENT)
            bias[model.classes_] = intercept
            held_out = fold == index
            scores[held_out] = features[held_out] @ weights[index] + bias
    usual = np.asarray(features.mean(axis=0)).ravel()
    return ContentModel(features, number, usual, scores, weights, fold, labels)


def _features(units: Units) -> tuple[sparse.csr_matrix, IntArray]:
    """The words in at least two or three rows."""
    presence = units.presence
    rows = np.asarray(presence.sum(axis=0)).ravel()
    word = np.array([is_word(unit) for unit in units.vocabulary], dtype=bool)
    chosen = np.flatnonzero(word & (rows >= (3 if len(units) > 1000 else 2)))
    number = np.full(len(units.vocabulary), -1, dtype=np.int64)
    number[chosen] = np.arange(len(chosen))
    return presence[:, chosen].tocsr(), number


@dataclass(frozen=True)
class Standard:
    """How the rows of a label, and those of all others, read to the model.

    Attributes:
        others: how far rows of other labels speak against the label, ascending.
        size: rows of the label.
        further: for each of its rows, share of the rows of other labels that read less far from it; 0 for other rows.
        beyond: whether it reads further from it than half of them.
        bare: the same once the row has lost the words that speak most for the label.
    """

    others: FloatArray
    size: int
    further: FloatArray
    beyond: npt.NDArray[np.bool_]
    bare: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, model: ContentModel, label: int, words: int) -> Standard:
        """The standard of one label, for patterns of some words."""
        own = np.flatnonzero(model.labels == label)
        others = np.sort(model.against(label, np.flatnonzero(model.labels != label)))
        further, beyond, bare = np.zeros(len(model.labels)), *np.zeros((2, len(model.labels)), dtype=bool)
        if len(others):
            margins, middle = model.against(label, own), np.median(others)
            further[own] = np.searchsorted(others, margins) / len(others)
            beyond[own] = margins > middle
            bare[own] = model.without_class_words(label, own, words) > middle
        return cls(others, len(own), further, beyond, bare)


class Reading(NamedTuple):
    """How some rows of a label read.

    Attributes:
        share: share of them whose text belongs to another label.
        p_value: exact binomial test that no more of them read further from the label than half of the rows of other
            labels than of the label's other rows.
        bare_p_value: the same, the label's other rows each without its best class words: rows that lost honest class
            words read like those.
    """

    share: float = 0.0
    p_value: float = 1.0
    bare_p_value: float = 1.0


def read(margins: FloatArray, rows: IntArray, standard: Standard) -> Reading:
    """How some rows of a label read.

    The chance that a row reads further from its label than a row of another label does is a half where the rows belong
    to other labels, and that of the label's other rows where they do not; the share is where it lies between the two.
    """
    rest = standard.size - len(rows)
    if min(rest, len(standard.others)) < FEWEST or not len(rows):
        return Reading()
    usual = float(standard.further.sum() - standard.further[rows].sum()) / rest
    if usual > UNTOLD:
        return Reading()
    here = float(np.searchsorted(standard.others, margins).mean()) / len(standard.others)
    beyond = int((margins > np.median(standard.others)).sum())
    plain, bare = (
        float(binom.sf(beyond - 1, len(rows), (int(known.sum()) - int(known[rows].sum()) + 1) / (rest + 2)))
        for known in (standard.beyond, standard.bare)
    )
    return Reading((here - usual) / (0.5 - usual), plain, bare)
