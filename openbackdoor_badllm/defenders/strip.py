"""``strip``: STRIP (Gao et al. 2021, "Design and Evaluation of a Multi-Domain Trojan Detection Method").

A text that carries a trigger keeps its label whatever else is mixed into it, so the victim's entropy over perturbed
copies is low. Copies take words of clean texts, those of the highest TF-IDF first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from openbackdoor_badllm.config import CleanRowsKeys
from openbackdoor_badllm.defenders.clean_rows import Calibrated, CleanRows
from openbackdoor_badllm.defenders.victim_view import Answers, answers_of
from openbackdoor_badllm.rows import blind
from openbackdoor_badllm.section import Count, Share, Whole
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.scoring import FloatArray, softmax

Array = npt.NDArray[np.float64]


class StripConfig(CleanRowsKeys):
    """Section ``defender`` with ``"name": "strip"``."""

    correction: Literal[False] = False
    """It flags rows; only false."""
    repeat: Count = 5
    """Perturbed copies of a text."""
    swap_ratio: Share = 0.5
    """Share of a text's words that a copy replaces."""
    frr: Share = 0.05
    """Share of clean rows that the threshold may flag, on the calibration half."""
    batch_size: Whole = 32
    """OpenBackdoor's key; not used: batches are made by length."""
    use_oppsite_set: Literal[False] = False
    """OpenBackdoor's key (so spelt there), which reads the target label off the poison flags; only false."""
    as_shipped: bool = False
    """Average the entropies as OpenBackdoor does: over copies of different texts."""


class _Ready(NamedTuple):
    """What the clean rows gave: words to mix in, and the threshold."""

    words: list[list[str]]
    threshold: float


class STRIP(Calibrated[_Ready]):
    """Flags texts whose label survives what is mixed into them.

    Args:
        **config: the keys of :class:`StripConfig`.
    """

    called = "strip"
    keys = StripConfig
    config: StripConfig

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """1 for each row whose mean entropy is below that of nearly all clean rows.

        Raises:
            DataError: no clean dev rows.
            VictimError: no victim.
        """
        victim = answers_of(model)
        ready = self.calibrated(victim, clean_data)
        self.details |= {"threshold": ready.threshold, "as_shipped": self.config.as_shipped}
        entropies = self._entropies(victim, [row.text for row in blind(poison_data or [])], ready.words)
        self.last_scores = -entropies
        return [int(low) for low in entropies < ready.threshold]

    def calibrate(self, victim: Answers, rows: CleanRows) -> _Ready:
        """Words of one half, and the entropy below which ``frr`` of the other half lie."""
        words = words_by_tfidf([row.text for row in rows.construct])
        entropies = self._entropies(victim, [row.text for row in rows.calibrate], words)
        return _Ready(words, float(np.quantile(entropies, self.config.frr)))

    def _entropies(self, victim: Answers, texts: Sequence[str], words: Sequence[Sequence[str]]) -> Array:
        """Mean entropy of each text's copies, in bits."""
        copies = [copy for text in texts for copy in self._copies(text, words)]
        if not copies:
            return np.zeros(0)
        each = entropy(softmax(victim.logits(copies)))
        if self.config.as_shipped:  # the copies of one text stand side by side, and this reads them as if they did not
            return np.asarray(each.reshape(self.config.repeat, -1).mean(axis=0))
        return np.asarray(each.reshape(-1, self.config.repeat).mean(axis=1))

    def _copies(self, text: str, words: Sequence[Sequence[str]]) -> list[str]:
        # The draw hangs on the text alone, so an answer does not depend on the rows that are asked about beside it.
        rng = random.Random(derive(self.config.seed, "strip", text))
        return [swapped(text, rng.choice(words), self.config.swap_ratio, rng) for _ in range(self.config.repeat)]


def swapped(text: str, others: Sequence[str], ratio: float, rng: random.Random) -> str:
    """The text with ``floor(ratio * words)`` words, each at another place, replaced by the first of ``others``."""
    own = text.split()
    places = rng.sample(range(len(own)), min(int(ratio * len(own)), len(others)))
    for place, word in zip(places, others, strict=False):
        own[place] = word
    return " ".join(own)


def words_by_tfidf(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text, those of the highest TF-IDF first, without English stop words.

    Returns:
        One list for each text that has such words; one empty list where none has.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", norm=None)
    try:
        table = vectorizer.fit_transform(texts).tocsr()
    except ValueError:  # nothing but stop words
        return [[]]
    names = vectorizer.get_feature_names_out()
    found = []
    for row in range(table.shape[0]):
        part = slice(table.indptr[row], table.indptr[row + 1])
        order = np.argsort(-table.data[part], kind="stable")
        if len(order):
            found.append([str(names[column]) for column in table.indices[part][order]])
    return found


def entropy(probabilities: FloatArray) -> Array:
    """Entropy of each row in bits; 0 log 0 is 0."""
    wide = probabilities.astype(np.float64)
    bits: Array = -(xlogy(wide, wide).sum(axis=1)) / np.log(2)
    return bits
