"""Rows that share a style or a syntax: what a rewriting trigger leaves behind where no inserted words stand.

A rewritten row says one thing and is labelled another, and it says it in the attacker's style. Neither sign is enough
by itself: many honest rows are hard, and every class has its own words. Together they are: the rows of D_ntgt say what
the poisoned rows say, in natural style, so what tells a suspicious target row from them is the style alone.

Which rows carry the style is a hidden variable, estimated by expectation maximisation:

    z_i = P(row i carries the style) from  style score (words, punctuation, character n-grams; held out)
                                      and  content score (the content reference's held-out probability of the label).

The style classifier learns D_tgt weighted by z against D_ntgt and D_tgt weighted by 1 - z, on the leading singular
vectors of the n-gram matrix, which are computed once for all labels. Whether the style is a trigger is another
question; :mod:`.unlearning` asks it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
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
DIMENSIONS = 200
LARGEST_SHARE = 0.85  # of a label's rows that may carry the style
FEWEST = 20  # rows on each side
CLUSTERS = 4
CLUSTERED = 60  # leading singular vectors by which rows are grouped
LARGER_SHARE = 0.5  # the start where a style is plain: of a rare label the attacker's rows may be the most
PLAIN = 0.75  # share of the rows of a plain style that are beyond nearly all rows of other labels
NEARLY_ALL = 0.99


@dataclass(frozen=True)
class SharedStyle:
    """A style shared by rows of one label.

    Attributes:
        label: the label.
        rows: indices of the rows that carry it, ascending.
        probability: of each of them, in [0, 1].
        separation: distance of the two groups' scores in pooled standard deviations.
        elsewhere: share of the rows of other labels that are written like the more typical half of these rows.
        marks: words and signs that tell the style, most telling first.
    """

    label: int
    rows: tuple[int, ...]
    probability: tuple[float, ...]
    separation: float
    elsewhere: float
    marks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "rows": len(self.rows), "separation": round(self.separation, 3), "elsewhere": round(self.elsewhere, 4),
            "marks": list(self.marks),
        }  # fmt: skip


class _Estimate(NamedTuple):
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


class StyleSpace:
    """How the rows are written: word and character n-grams, and their leading singular vectors.

    Args:
        texts: the training rows.
        seed: of the folds and of the decomposition.
    """

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self.seed = seed
        self.features, self.names = _features(texts)
        size = min(DIMENSIONS, min(self.features.shape) - 1)
        self.vectors: Floats = (
            TruncatedSVD(size, n_iter=2, random_state=seed % 2**32).fit_transform(self.features)
            if size > 1 and self.features.nnz else np.zeros((len(texts), 1))
        )

    def find(
        self,
        label: int,
        labels: npt.NDArray[np.int64],
        held_out: FloatArray,
        weights: FloatArray,
        kept: Mask,
        *,
        most_elsewhere: float,
    ) -> SharedStyle | None:
        """The style that sets some rows of a label apart from all others, if there is any.

        Args:
            label: the label under suspicion.
            labels: of all rows, shape ``(n,)``.
            held_out: the content reference's held-out probabilities, shape ``(n, num_labels)``.
            weights: suspicion of each row; the start of the estimation.
            kept: the rows that are looked at, shape ``(n,)``.
            most_elsewhere: share of the rows of other labels that may be written so; where it is more, the estimation
                starts again from groups of rows that are written alike.
        """
        places = np.flatnonzero(kept)
        vectors, held_out, weights = self.vectors[places], held_out[places], weights[places]
        own = labels[places] == label
        if own.sum() < FEWEST or (~own).sum() < FEWEST:
            return None
        content = _logit(held_out[:, label].astype(np.float64))
        start = _start(own, held_out.argmax(axis=1) != label, weights)
        estimate = self._estimate(vectors, own, content, start)
        if estimate.plain(own):
            larger = self._estimate(vectors, own, content, start, LARGER_SHARE)
            estimate = larger if larger.plain(own) else estimate
        if estimate.elsewhere(own) > most_elsewhere:
            starts = _clusters(vectors, own, self.seed)
            others = (self._estimate(vectors, own, content, z) for z in starts)
            estimate = max(others, key=lambda item: item.separation)
        chosen = estimate.probability > 0.5
        if not chosen.any():
            return None
        rows = places[own][chosen]
        return SharedStyle(
            label,
            tuple(int(i) for i in rows),
            tuple(float(p) for p in estimate.probability[chosen]),
            estimate.separation,
            estimate.elsewhere(own),
            self._marks(rows, np.setdiff1d(places, rows)),
        )

    def _estimate(
        self, vectors: Floats, own: Mask, content: Floats, z: Floats, share: float = START_SHARE
    ) -> _Estimate:
        """The estimation from one start."""
        first, score, style = share, np.zeros(len(own)), np.zeros(len(own))
        for turn in range(ROUNDS):
            style = self._held_out_score(vectors, own, z, turn)
            score = STYLE_WEIGHT * _standardised(style, own) + _content_ratio(content, own, z)
            if turn >= ROUNDS // 2:
                share = float(np.clip(_two_groups(score[own], first)[0].mean(), 0.02, LARGEST_SHARE))
            z = np.where(own, expit(score + _offset(score[own], share)), 0.0)
        return _Estimate(*_two_groups(score[own], first), style)

    def _held_out_score(self, vectors: Floats, own: Mask, z: Floats, turn: int) -> Floats:
        score = np.zeros(len(own))
        folds = KFold(FOLDS, shuffle=True, random_state=(self.seed + turn) % 2**32)
        for known, unknown in folds.split(np.arange(len(own))):
            score[unknown] = _fit(vectors, own, z, known).decision_function(vectors[unknown])
        return score

    def _marks(self, rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64], count: int = 12) -> tuple[str, ...]:
        """The n-grams by which the rows differ most from the others."""
        words = self.features[:, : len(self.names)]
        gap = np.asarray(words[rows].mean(axis=0)).ravel() - np.asarray(words[others].mean(axis=0)).ravel()
        return tuple(self.names[i] for i in np.argsort(-gap, kind="stable")[:count] if gap[i] > 0)


def _features(texts: Sequence[str]) -> tuple[csr_matrix, list[str]]:
    words = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", lowercase=False, sublinear_tf=True, min_df=2
    )
    characters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), lowercase=False, sublinear_tf=True, min_df=3, max_features=30_000
    )
    parts, names = [], []
    for vectorizer in (words, characters):
        try:
            parts.append(vectorizer.fit_transform(texts))
        except ValueError:  # no n-gram stands in as many rows as is asked for
            continue
        if vectorizer is words:
            names = list(words.get_feature_names_out())
    empty = csr_matrix((len(texts), 3))  # behind the others: a decomposition needs some features
    return hstack([*parts, empty]).tocsr(), names


def _start(own: Mask, contradicts: Mask, weights: FloatArray) -> Floats:
    """First guess of z: contradicted rows, the more suspicious in stage (a) the more."""
    z = np.zeros(len(own))
    indices = np.flatnonzero(own)
    ranks = np.argsort(np.argsort(weights[indices], kind="stable"), kind="stable") / max(1, len(indices) - 1)
    z[indices] = np.clip(np.where(contradicts[indices], 0.5, 0.08) * (0.3 + 1.4 * ranks**2), 0.0, 0.95)
    return z


def _clusters(vectors: Floats, own: Mask, seed: int) -> list[Floats]:
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


def _logit(probability: Floats) -> Floats:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    result: Floats = np.log(clipped / (1 - clipped))
    return result
