"""Texts as units: words and runs of punctuation, single characters where a script writes no blanks between words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from openbackdoor_badllm.unspaced import UNSPACED_LETTERS

IntArray = npt.NDArray[np.int64]

_UNIT = re.compile(rf"[{UNSPACED_LETTERS}]|[^\W{UNSPACED_LETTERS}]+(?:['’][^\W{UNSPACED_LETTERS}]+)*|[^\w\s]+")
_ASCII_UNIT = re.compile(r"\w+(?:'\w+)*|[^\w\s]+")


@dataclass(frozen=True)
class Units:
    """The units of all texts, one after the other.

    Attributes:
        ids: each unit's place in the vocabulary, shape ``(units,)``.
        start: where each text begins in ``ids``, and the end, shape ``(texts + 1,)``.
        vocabulary: the units, in lower case.
    """

    ids: IntArray
    start: IntArray
    vocabulary: list[str]

    def __len__(self) -> int:
        return len(self.start) - 1

    @cached_property
    def row(self) -> IntArray:
        """The text of each unit, shape ``(units,)``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.start))

    @cached_property
    def presence(self) -> sparse.csr_matrix:
        """Which text holds which unit: ones, shape ``(texts, vocabulary)``."""
        shape = (len(self), len(self.vocabulary))
        matrix = sparse.csr_matrix((np.ones(len(self.ids), dtype=np.float32), (self.row, self.ids)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    @cached_property
    def repetition(self) -> float:
        """Chance that two units drawn at random are the same."""
        share = np.bincount(self.ids) / max(1, len(self.ids))
        return float((share**2).sum())

    def words(self, ids: Sequence[int] | IntArray) -> str:
        """Some units as a text: blanks between words, none between characters of unspaced scripts."""
        parts = [self.vocabulary[place] for place in ids]
        return ("" if all(unspaced(part) for part in parts) and len(parts) > 1 else " ").join(parts)


def split_units(text: str) -> list[str]:
    """The units of one text, in lower case; characters without a shape are left out, so that they cut no word."""
    if text.isascii() and text.isprintable():
        return _ASCII_UNIT.findall(text.lower())
    shaped = "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign)[0] != "C")
    return _UNIT.findall(shaped.lower())


def as_units(texts: Sequence[str]) -> Units:
    """The units of some texts."""
    places: dict[str, int] = {}
    ids: list[int] = []
    start = [0]
    for text in texts:
        ids.extend([places.setdefault(unit, len(places)) for unit in split_units(text)])
        start.append(len(ids))
    return Units(np.array(ids, dtype=np.int64), np.array(start, dtype=np.int64), list(places))


def unspaced(unit: str) -> bool:
    """Whether a unit is a character of a script without blanks."""
    return len(unit) == 1 and re.match(rf"[{UNSPACED_LETTERS}]", unit) is not None


def is_word(unit: str) -> bool:
    """Whether a unit is a word or a character of one, no punctuation."""
    return unit[0].isalnum() or unit[0] == "_"
