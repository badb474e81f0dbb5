"""Texts without one of their words: what ONION and BKI ask about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class LeftOut(NamedTuple):
    """A block of texts with all their shortened versions.

    Attributes:
        start: index of the block's first text.
        words: the words of each text.
        texts: for each text in turn, the whole one and then one without each of its words.
    """

    start: int
    words: list[list[str]]
    texts: list[str]

    @property
    def offsets(self) -> list[int]:
        """Where in ``texts`` each text's whole version stands."""
        found, place = [], 0
        for words in self.words:
            found.append(place)
            place += len(words) + 1
        return found


def leave_one_out(texts: Sequence[str], block_words: int = 20_000) -> Iterator[LeftOut]:
    """Blocks of texts, so large that batches across rows are full and so small that memory stays bounded.

    Args:
        texts: split at white space.
        block_words: words of a block, about.
    """
    start, words, made = 0, list[list[str]](), list[str]()
    for index, text in enumerate(texts):
        split = text.split()
        words.append(split)
        made.append(" ".join(split))
        made += [" ".join(split[:place] + split[place + 1 :]) for place in range(len(split))]
        if len(made) >= block_words:
            yield LeftOut(start, words, made)
            start, words, made = index + 1, [], []
    if words:
        yield LeftOut(start, words, made)
