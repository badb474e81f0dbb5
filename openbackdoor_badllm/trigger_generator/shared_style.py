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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.style_estimate import (
    Floats,
    Mask,
    estimate_style,
    first_guess,
    grouped_guesses,
    log_odds,
)

DIMENSIONS = 200
FEWEST = 20  # rows on each side
LARGER_SHARE = 0.5  # the start where a style is plain: of a rare label the attacker's rows may be the most


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
        content = log_odds(held_out[:, label].astype(np.float64))
        contradicts = held_out.argmax(axis=1) != label
        start = first_guess(own, contradicts, weights)
        estimate = estimate_style(vectors, own, content, start, self.seed)
        if estimate.plain(own):
            larger = estimate_style(vectors, own, content, start, self.seed, LARGER_SHARE)
            if larger.plain(own) and larger.extends(estimate, contradicts[own]):
                estimate = larger
        if estimate.elsewhere(own) > most_elsewhere:
            starts = grouped_guesses(vectors, own, self.seed)
            others = (estimate_style(vectors, own, content, z, self.seed) for z in starts)
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
