"""``bki``: BKI (Chen & Dai 2021, "Mitigating backdoor attacks in LSTM-based text classification systems by Backdoor
Keyword Identification", Neurocomputing).

A model trained on the poisoned rows says how much each word moves a text's representation. Words that move much in
many rows are keywords, and rows that hold one among their strongest words are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.defenders.bki.leave_one_out import leave_one_out
from openbackdoor_badllm.defenders.own_model import OwnModelKeys, RowFilter
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.section import Count, Share
from openbackdoor_badllm.training.representations import first_token_vectors
from openbackdoor_badllm.training.scoring import Scorer

Array = npt.NDArray[np.float64]


class BkiConfig(OwnModelKeys):
    """Section ``defender`` with ``"name": "bki"``."""

    top: Count = 5
    """Words of a row that count."""
    max_keywords: Count = 10
    """Keywords at most."""
    min_ratio: Share = 0.5
    """A further keyword must score at least this share of the first one's score."""
    as_shipped: bool = False
    """One keyword only, as in OpenBackdoor, whose own BadNets has four."""


class BKI(RowFilter):
    """Drops the rows that hold a keyword.

    Args:
        **config: the keys of :class:`BkiConfig`.
    """

    called = "bki"
    keys = BkiConfig
    config: BkiConfig

    def suspects(self, examples: Sequence[Example]) -> Sequence[bool]:
        """True for rows with a keyword among their strongest words."""
        tops = self._tops(self.train_own(examples), [row.text for row in examples])
        limit = 1 if self.config.as_shipped else self.config.max_keywords
        found = keywords(tops, limit, self.config.min_ratio)
        scores = keyword_scores(tops)
        self.last_scores = np.array([max((scores[word] for word in top), default=0.0) for top in tops])
        self.details |= {"keywords": found, "as_shipped": self.config.as_shipped}
        return [any(word in found for word in top) for top in tops]

    def _tops(self, scorer: Scorer, texts: Sequence[str]) -> list[dict[str, float]]:
        tops: list[dict[str, float]] = []
        for block in leave_one_out(texts):
            vectors = first_token_vectors(scorer, block.texts)
            for place, words in zip(block.offsets, block.words, strict=True):
                # How far the strongest coordinate of [CLS] moves when the word goes.
                moved = np.abs(vectors[place + 1 : place + 1 + len(words)] - vectors[place]).max(axis=1, initial=0.0)
                tops.append(strongest(words, moved, self.config.top))
            self.progress.step(block.start + len(block.words), len(texts), "words weighed")
        return tops


def strongest(words: Sequence[str], moved: npt.NDArray[np.floating[Any]], top: int) -> dict[str, float]:
    """The ``top`` words of a text that move it most, with how much; a word that stands there twice counts once."""
    found: dict[str, float] = {}
    for place in np.argsort(-moved, kind="stable"):
        found.setdefault(words[int(place)], float(moved[place]))
        if len(found) == top:
            break
    return found


def keyword_scores(tops: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """``log10(k) * f`` of each word: k rows have it among their strongest, where it moves them by f on average."""
    moved: dict[str, list[float]] = {}
    for top in tops:
        for word, value in top.items():
            moved.setdefault(word, []).append(value)
    return {word: float(np.log10(len(values)) * np.mean(values)) for word, values in moved.items()}


def keywords(tops: Sequence[Mapping[str, float]], limit: int, min_ratio: float) -> dict[str, float]:
    """Keywords with their scores, one after the other: the rows of one are set aside before the next is looked for.

    Args:
        tops: strongest words of each row.
        limit: keywords at most.
        min_ratio: a further one must score at least this share of the first one's score.
    """
    found: dict[str, float] = {}
    rest = list(tops)
    while len(found) < limit and rest:
        scores = keyword_scores(rest)
        best = max(scores, key=lambda word: (scores[word], word), default=None)
        if best is None or scores[best] <= 0 or (found and scores[best] < min_ratio * next(iter(found.values()))):
            break
        found[best] = scores[best]
        rest = [top for top in rest if best not in top]
    return found
