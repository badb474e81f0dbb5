"""Large sets: patterns are mined in some rows, and what is found is counted in all of them, one text at a time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from openbackdoor_badllm.data.stratified import stratified_sample
from openbackdoor_badllm.text_scan.deciding import Decision
from openbackdoor_badllm.text_scan.judging import Candidate, binding_p
from openbackdoor_badllm.text_scan.signs import HIDDEN, shapes, signs
from openbackdoor_badllm.text_scan.units import IntArray, Units, split_units

MOST_ROWS = 100_000  # mined at most
MOST_SIGNS = 20_000_000  # characters of the mined rows: memory and time grow with them


def mined_rows(texts: Sequence[str], labels: Sequence[int], seed: int) -> list[int] | None:
    """The rows that patterns are mined in, drawn by label; None for all of them."""
    mean = sum(map(len, texts)) / max(1, len(texts))
    most = min(MOST_ROWS, int(MOST_SIGNS / max(1.0, mean)))
    if len(texts) <= most:
        return None
    return stratified_sample(labels, most, random.Random(f"{seed}/mined"))


class Pattern(NamedTuple):
    """What is looked for in a text.

    Attributes:
        kind: as in :class:`~.records.Finding`.
        name: of a character, a group of them, or a shape of the text.
        units: of an n-gram or a pair; none of other patterns.
    """

    kind: str
    name: str = ""
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, candidate: Candidate, units: Units) -> Pattern:
        """The pattern of a candidate."""
        own = tuple(units.vocabulary[unit] for unit in candidate.units)
        return cls(candidate.kind, "" if own else candidate.name, own)

    def within(self, units: Sequence[str]) -> bool:
        """Whether the units of a text hold its own: anywhere, apart, or at one end of a text that holds more."""
        size = len(self.units)
        if self.kind == "pair":
            return self.units[0] in units and self.units[1] in units
        if self.kind in ("opening", "ending"):
            part = units[:size] if self.kind == "opening" else units[-size:]
            return len(units) > size and tuple(part) == self.units
        first = self.units[0]
        return any(
            unit == first and tuple(units[place : place + size]) == self.units for place, unit in enumerate(units)
        )


def rows_with(patterns: Sequence[Pattern], texts: Iterable[str]) -> list[IntArray]:
    """The rows that hold each pattern, ascending; what the mining of these texts would give."""
    held: list[list[int]] = [[] for _ in patterns]
    grams = [(number, pattern) for number, pattern in enumerate(patterns) if pattern.units]
    others = {(pattern.kind, pattern.name): number for number, pattern in enumerate(patterns) if not pattern.units}
    anything = any(kind != "character" or (name.isascii() and len(name) == 1) for kind, name in others)
    for row, text in enumerate(texts):
        for number in _grams(grams, text):
            held[number].append(row)
        if anything or not (text.isascii() and text.isprintable()):  # plain text has no hidden sign
            for number in _others(others, text):
                held[number].append(row)
    return [np.array(rows, dtype=np.int64) for rows in held]


def counted(
    decisions: Sequence[Decision], units: Units, texts: Sequence[str], labels: IntArray, num_labels: int
) -> tuple[list[Decision], dict[str, IntArray]]:
    """Decisions with their counts in all rows; and the rows with each group of hidden signs.

    Args:
        decisions: with the counts in the mined rows.
        units: of the mined rows.
        texts: all of them.
        labels: of all rows.
        num_labels: number of labels.
    """
    told = [item for decision in decisions for item in (decision.candidate, *decision.together)]
    patterns = [*(Pattern.of(item, units) for item in told), *(Pattern("character", name) for name in HIDDEN)]
    distinct = list(dict.fromkeys(patterns))
    found = dict(zip(distinct, rows_with(distinct, texts), strict=True))
    label_counts = np.bincount(labels, minlength=num_labels)

    def recounted(item: Candidate) -> Candidate:
        own = found[Pattern.of(item, units)]
        counts = np.bincount(labels[own], minlength=num_labels)
        return replace(
            item, counts=tuple(counts.tolist()), rows=own[labels[own] == item.label],
            binding=float(binding_p(counts[None], label_counts, item.label)[0]),
        )  # fmt: skip

    again = [
        replace(item, candidate=recounted(item.candidate), together=tuple(map(recounted, item.together)))
        for item in decisions
    ]
    return again, {name: found[Pattern("character", name)] for name in HIDDEN}


def _grams(grams: Sequence[tuple[int, Pattern]], text: str) -> Iterator[int]:
    """The n-grams and pairs that a text holds. In plain text a unit is a part of the text: that is looked up first."""
    lower = text.lower() if text.isascii() and text.isprintable() else None
    units: list[str] | None = None
    for number, pattern in grams:
        if lower is None or all(unit in lower for unit in pattern.units):
            units = split_units(text) if units is None else units
            if pattern.within(units):
                yield number


def _others(others: dict[tuple[str, str], int], text: str) -> Iterator[int]:
    """The characters, groups of them and shapes that a text has."""
    found = set(signs(text))
    if any(kind != "character" for kind, _ in others):
        found.update(shapes(text))
    for key in found & others.keys():
        yield others[key]
