"""The estimation of a shared style from one start: who carries it, and how it is written (see :mod:`.shared_style`)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from openbackdoor_badllm.training.scoring import FloatArray

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
ROUNDS = 10
START_SHARE = 0.25  # share of D_tgt that is taken to carry the style until the scores themselves tell
STYLE_WEIGHT = 4.0  # of one standard deviation of the style score, against one nat of content
FOLDS = 5
LARGEST_SHARE = 0.85  # of a label's rows that may carry the style
CLUSTERS = 4
CLUSTERED = 60  # leading singular vectors by which rows are grouped
PLAIN = 0.75  # share of the rows of a plain style that are beyond nearly all rows of other labels
NEARLY_ALL = 0.99
ALIKE = 0.75  # the rows that the larger start adds contradict their label at this share of the rate of the others


class Estimate(NamedTuple):
    """Where an estimation ends: how likely each row of the label has the style, and the style score of all rows."""

    probability: Floats
    separation: float
    style: Floats

    def elsewhere(self, own: Mask) -> float:
        """See :class:`SharedStyle`; 1 where no row has the style."""
        chosen = self.probability > 0.5
        if not chosen.any():
            return 1.0
        return float((self.style[~own] > np.median(self.style[own][chosen])).mean())

    def plain(self, own: Mask) -> bool:
        """Whether most of its rows are written as next to no row of another label is."""
        chosen = self.style[own][self.probability > 0.5]
        return len(chosen) > 0 and float((chosen > np.quantile(self.style[~own], NEARLY_ALL)).mean()) >= PLAIN

    def extends(self, smaller: Estimate, contradicts: Mask) -> bool:
        """Whether the rows that it has beyond a smaller one contradict their label as those do.

        Args:
            smaller: the other estimate.
            contradicts: of the rows of the label, whether the text says another label.
        """
        known = smaller.probability > 0.5
        added = (self.probability > 0.5) & ~known
        return bool(added.any() and contradicts[added].mean() >= ALIKE * contradicts[known].mean())


def estimate_style(
    vectors: Floats, own: Mask, content: Floats, z: Floats, seed: int, share: float = START_SHARE
) -> Estimate:
    """The estimation from one start.

    Args:
        vectors: of the rows, shape ``(n, d)``.
        own: rows of the label.
        content: the content reference's log-odds of the label.
        z: first guess of who carries the style.
        seed: of the folds.
        share: of the rows of the label that are taken to carry the style until the scores themselves tell.
    """
    first, score, style = share, np.zeros(len(own)), np.zeros(len(own))
    for turn in range(ROUNDS):
        style = _held_out_score(vectors, own, z, seed + turn)
        score = STYLE_WEIGHT * _standardised(style, own) + _content_ratio(content, own, z)
        if turn >= ROUNDS // 2:
            share = float(np.clip(_two_groups(score[own], first)[0].mean(), 0.02, LARGEST_SHARE))
        z = np.where(own, expit(score + _offset(score[own], share)), 0.0)
    return Estimate(*_two_groups(score[own], first), style)


def _held_out_score(vectors: Floats, own: Mask, z: Floats, seed: int) -> Floats:
    score = np.zeros(len(own))
    folds = KFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for known, unknown in folds.split(np.arange(len(own))):
        score[unknown] = _fit(vectors, own, z, known).decision_function(vectors[unknown])
    return score


def first_guess(own: Mask, contradicts: Mask, weights: FloatArray) -> Floats:
    """First guess of z: contradicted rows, the more suspicious in stage (a) the more."""
    z = np.zeros(len(own))
    indices = np.flatnonzero(own)
    ranks = np.argsort(np.argsort(weights[indices], kind="stable"), kind="stable") / max(1, len(indices) - 1)
    z[indices] = np.clip(np.where(contradicts[indices], 0.5, 0.08) * (0.3 + 1.4 * ranks**2), 0.0, 0.95)
    return z


def grouped_guesses(vectors: Floats, own: Mask, seed: int) -> list[Floats]:
    """Other starts: groups of target rows that are written alike.

    Where the content reference has learnt the style itself, the rows that carry it do not contradict their label.
    """
    leading = normalize(vectors[own][:, :CLUSTERED])
    count = min(CLUSTERS, len(np.unique(leading, axis=0)))
    group = KMeans(count, n_init=3, random_state=seed % 2**32).fit_predict(leading)
    starts = []
    for number in range(count):
        z = np.zeros(len(own))
        z[own] = np.where(group == number, 0.7, 0.05)
        starts.append(z)
    return starts


def _fit(vectors: Floats, own: Mask, z: Floats, known: npt.NDArray[np.int64]) -> LogisticRegression:
    """Logistic regression on soft labels: each target row counts as both, by its z."""
    target, other = known[own[known]], known[~own[known]]
    rows = np.concatenate([target, target, other])
    labels = np.concatenate([np.ones(len(target)), np.zeros(len(target)), np.zeros(len(other))])
    weights = np.concatenate([z[target], 1 - z[target], np.ones(len(other))])
    for side in (labels == 0, labels == 1):  # both sides weigh the same
        weights[side] *= len(known) / 2 / max(1e-6, weights[side].sum())
    return LogisticRegression(max_iter=100, tol=1e-3).fit(vectors[rows], labels, sample_weight=weights)


def _standardised(style: Floats, own: Mask) -> Floats:
    """In standard deviations of D_ntgt, which carries no style under dirty poisoning."""
    null = style[~own]
    result: Floats = (style - np.median(null)) / max(1e-6, float(null.std()))
    return result


def _content_ratio(content: Floats, own: Mask, z: Floats) -> Floats:
    """Log-ratio of two normal densities of the content score: as in D_ntgt, against as in honest target rows."""
    honest = np.where(own, 1 - z, 0.0)
    mean = float((content * honest).sum() / max(1e-6, honest.sum()))
    deviation = math.sqrt(float(((content - mean) ** 2 * honest).sum() / max(1e-6, honest.sum()))) + 1e-3
    other_mean, other_deviation = float(content[~own].mean()), float(content[~own].std()) + 1e-3
    ratio = _log_density(content, other_mean, other_deviation) - _log_density(content, mean, deviation)
    clipped: Floats = np.clip(ratio, -3.0, 3.0)
    return clipped


def _log_density(values: Floats, mean: float, deviation: float) -> Floats:
    result: Floats = -(((values - mean) / deviation) ** 2) / 2 - math.log(deviation)
    return result


def _offset(score: Floats, share: float) -> float:
    """The offset at which the mean of z is the share."""
    bound = float(np.abs(score).max()) + 20.0
    return float(brentq(lambda b: float(expit(score + b).mean()) - share, -bound, bound))


def _two_groups(score: Floats, share: float) -> tuple[Floats, float]:
    """Probability of the upper of two normal groups, and how far apart they are; the share is a first guess."""
    upper = score >= np.quantile(score, 1 - share)
    if upper.all():  # most scores are the lowest one
        upper = score > score.min()
    if not upper.any():
        return np.zeros(len(score)), 0.0
    start = np.array([[score[~upper].mean()], [score[upper].mean()]])
    mixture = GaussianMixture(2, means_init=start, random_state=0).fit(score[:, None])
    means = mixture.means_.ravel()
    high = int(np.argmax(means))
    probability: Floats = mixture.predict_proba(score[:, None])[:, high]
    # A wide upper group also claims the far low end.
    probability = np.where(score > means[1 - high], probability, 0.0)
    spread = math.sqrt(float(mixture.covariances_.mean()))
    return probability, float((means[high] - means[1 - high]) / max(1e-6, spread))


def log_odds(probability: Floats) -> Floats:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    result: Floats = np.log(clipped / (1 - clipped))
    return result
