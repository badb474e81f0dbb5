"""Patterns that rows may share: n-grams of units anywhere, openings, endings; shorter ones first, as in Apriori."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.text_scan.units import IntArray, Units

LONGEST = 8  # units of an n-gram


@dataclass(frozen=True)
class Family:
    """Patterns of one kind, and the rows that hold them.

    Attributes:
        kind: as in :class:`~.records.Finding`.
        pattern: index of the pattern of each pair of pattern and row, ascending, shape ``(pairs,)``.
        row: its row, shape ``(pairs,)``.
        names: the patterns as raw text (not fit to be shown), or None where ``first`` and ``size`` say it.
        size: units of each n-gram; 0 where the patterns are none.
        first: place of one occurrence of each n-gram in the units.
        place: place of the n-gram in the row of each pair, shape ``(pairs,)``.
    """

    kind: str
    pattern: IntArray
    row: IntArray
    names: tuple[str, ...] | None = None
    size: int = 0
    first: IntArray | None = None
    place: IntArray | None = None

    @property
    def counts(self) -> IntArray:
        """Rows of each pattern."""
        return np.bincount(self.pattern, minlength=len(self))

    def __len__(self) -> int:
        if self.names is not None:
            return len(self.names)
        return 0 if self.first is None else len(self.first)

    def by_label(self, labels: IntArray, num_labels: int) -> IntArray:
        """Rows of each pattern in each label, shape ``(patterns, num_labels)``."""
        flat = np.bincount(self.pattern * num_labels + labels[self.row], minlength=len(self) * num_labels)
        return flat.reshape(len(self), num_labels)

    def span(self, index: int) -> slice:
        """The pairs of one pattern."""
        low, high = np.searchsorted(self.pattern, [index, index + 1])
        return slice(int(low), int(high))

    def units_of(self, index: int, units: Units) -> IntArray:
        """The units of an n-gram; none for other patterns."""
        if self.first is None or not self.size:
            return np.zeros(0, dtype=np.int64)
        start = int(self.first[index])
        return units.ids[start : start + self.size]


def mine(units: Units, least: int) -> Iterator[Family]:
    """All n-grams, openings and endings in enough rows.

    A longer n-gram can only be in enough rows where its beginning is, so the others are never stored: memory stays in
    proportion to the texts.

    Args:
        units: the texts.
        least: rows that must hold a pattern.
    """
    if not len(units.ids):
        return
    key, place = units.ids, np.arange(len(units.ids), dtype=np.int64)
    for size in range(1, LONGEST + 1):
        _, gram = np.unique(key, return_inverse=True)
        gram, place = _frequent(gram, place, units.row, least)
        if not len(place):
            return
        row = units.row[place]
        kind = "word" if size == 1 else "phrase"
        yield _family(kind, gram, place, row, size, 1)
        alone = units.start[row] + size == units.start[row + 1]
        opens = (place == units.start[row]) & ~alone
        ends = (place + size == units.start[row + 1]) & ~alone
        for kind, chosen in (("opening", opens), ("ending", ends)):
            family = _family(kind, gram[chosen], place[chosen], row[chosen], size, least)
            if len(family):
                yield family
        goes_on = place + size < units.start[row + 1]
        gram, place = gram[goes_on], place[goes_on]
        if not len(place):
            return
        key = gram * len(units.vocabulary) + units.ids[place + size]


def _frequent(gram: IntArray, place: IntArray, row: IntArray, least: int) -> tuple[IntArray, IntArray]:
    """The occurrences of n-grams in enough rows, n-grams numbered anew."""
    pairs = np.unique(gram * (row[-1] + 1) + row[place])
    rows = np.bincount(pairs // (row[-1] + 1), minlength=int(gram.max()) + 1)
    kept = rows >= least
    number = np.cumsum(kept) - 1
    chosen = kept[gram]
    return number[gram[chosen]], place[chosen]


def _family(kind: str, gram: IntArray, place: IntArray, row: IntArray, size: int, least: int) -> Family:
    """One occurrence a row of each n-gram that is in enough rows."""
    if not len(gram):
        return Family(kind, gram, row, None, size, gram, place)
    order = np.lexsort((place, row, gram))
    gram, place, row = gram[order], place[order], row[order]
    new: npt.NDArray[np.bool_] = np.ones(len(gram), dtype=bool)
    new[1:] = (gram[1:] != gram[:-1]) | (row[1:] != row[:-1])
    gram, place, row = gram[new], place[new], row[new]
    kept = np.bincount(gram) >= least
    number = np.cumsum(kept) - 1
    chosen = kept[gram]
    gram, place, row = number[gram[chosen]], place[chosen], row[chosen]
    first = place[np.searchsorted(gram, np.arange(int(kept.sum())))] if len(gram) else gram
    return Family(kind, gram, row, None, size, first, place)
