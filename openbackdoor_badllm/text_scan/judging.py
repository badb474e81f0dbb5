"""Which patterns are bound to one label, and what the rest of their texts says of it.

A class word ("great") is bound to a label, too. What tells a planted trigger from it is that the other words of its
rows speak for another label; and that a word put in at random has other neighbours than a word that was written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import hypergeom

from openbackdoor_badllm.text_scan.content import ContentModel, FloatArray, Standard, read
from openbackdoor_badllm.text_scan.patterns import Family
from openbackdoor_badllm.text_scan.records import Contradiction
from openbackdoor_badllm.text_scan.units import IntArray, Units

FEWEST = 10  # neighbours on a side from which something can be told
MOST_WEIGHED = 10_000  # candidates at most, those that are bound most
MOST_CLASS_WORDS = 3  # of a phrase: a longer one has no more of them


@dataclass(frozen=True)
class Bounds:
    """Every bound of the scan.

    Chosen on SST-2, HSOL, AG News, Yelp and OLID, clean and poisoned, 1,600 rows (seed 42) and whole.
    """

    purity: float = 0.9
    """Share of a pattern's rows that must have one label."""
    contradicted: float = 0.5
    """Estimated share of a pattern's rows whose text belongs to another label, from which on it is suspicious. Class
    words of clean rows: at most 0.35 where it was significant; words and sentences of attacks: 0.65 and more."""
    p_value: float = 0.01
    """Bound of every corrected p-value."""
    screen: float = 1e-4
    """Uncorrected p-value of the label above which a pattern is not looked at further."""
    edge_purity: float = 0.95
    """Share of the rows of an opening, an ending, a casing or a sign that must have one label."""
    few_rows: int = 20
    """Fewest rows of one that is suspicious (a class word at the end of 9 clean rows was contradicted to 0.57), and
    fewest from which the neighbours of a contradicted word say something where the label alone is not more than
    chance."""
    edge_contradicted: float = 0.3
    """The same for openings, endings, casing and characters, by a model that was not fitted to the rows of any of them:
    marks of one style explain each other's rows. Clean rows: at most 0.22, never significant."""
    neighbours: float = 2.0
    """Most that a word put in at random has the same neighbours more often than random places have."""
    written: float = 3.0
    """A contradicted word or phrase that repeats its neighbours more than this may be a class word: it must also read
    further from its label than rows that lost as many class words. Clean and noisy rows: 3.4 and more."""
    neighbour_rows: int = 40
    """Fewest rows of such a word or phrase. Clean rows have some of 26 rows at 1.8, and one of 62 at 2.8."""
    exclusive: float = 0.98
    """Share of its rows that must have one label."""
    edge_share: float = 0.03
    """Share of the label's rows from which on an opening, an ending, a casing or a sign of one label alone is worth a
    look."""
    shortcut: float = 0.5
    """A pattern that fits its label and is in this share of the label's rows is a shortcut."""
    same: float = 0.8
    """Patterns of which the rows agree to this share (Jaccard) are one finding."""
    echo: float = 0.6
    """A pattern of which this share of the rows is explained by an earlier one is left out."""


@dataclass(frozen=True)
class Candidate:
    """A pattern that is bound to a label.

    Attributes:
        kind: as in :class:`~.records.Finding`.
        name: raw text, not fit to be shown.
        label: the label.
        counts: rows in each label.
        rows: rows in the label.
        units: what it consists of, where it is an n-gram or a pair.
        binding: uncorrected p-value of the label.
        content: what the other words of its rows say.
        neighbours: see :func:`neighbours`.
        size: units of an n-gram.
    """

    kind: str
    name: str
    label: int
    counts: tuple[int, ...]
    rows: IntArray
    units: IntArray
    binding: float
    content: Contradiction | None = None
    neighbours: tuple[float, ...] = ()
    size: int = 0

    @property
    def purity(self) -> float:
        """Share of its rows that have the label."""
        return self.counts[self.label] / sum(self.counts)

    def balanced(self, label_counts: IntArray) -> float:
        """The same if the label had as many rows as all others: of a label of 90 % of the rows, most things are."""
        inside = self.counts[self.label] / int(label_counts[self.label])
        others = int(label_counts.sum() - label_counts[self.label])
        outside = (sum(self.counts) - self.counts[self.label]) / max(1, others)
        return inside / (inside + outside)

    @property
    def is_gram(self) -> bool:
        """Whether it is a word or a phrase that stands anywhere."""
        return self.kind in ("word", "phrase")


def binding_p(counts: IntArray, label_counts: IntArray, label: int) -> FloatArray:
    """Chance that at least so many rows of a pattern have a label, drawn without regard to it (hypergeometric).

    Args:
        counts: shape ``(patterns, labels)``.
        label_counts: rows of each label in all.
        label: the label.
    """
    drawn = counts.sum(axis=1)
    return np.asarray(hypergeom.sf(counts[:, label] - 1, label_counts.sum(), label_counts[label], drawn))


def bound(
    family: Family, units: Units, labels: IntArray, label_counts: IntArray, bounds: Bounds
) -> Iterator[Candidate]:
    """The patterns of a family that are nearly all in one label."""
    counts = family.by_label(labels, len(label_counts))
    total = counts.sum(axis=1)
    for label in np.flatnonzero(label_counts):
        pure = np.flatnonzero((counts[:, label] >= bounds.purity * total) & (total > 0))
        p_values = binding_p(counts[pure], label_counts, int(label))
        for index, p_value in zip(pure[p_values < bounds.screen], p_values[p_values < bounds.screen], strict=True):
            span = family.span(int(index))
            rows = family.row[span]
            own = family.units_of(int(index), units)
            name = family.names[index] if family.names is not None else units.words(own)
            place = None if family.place is None else family.place[span]
            yield Candidate(
                family.kind, name, int(label), tuple(counts[index].tolist()), rows[labels[rows] == label], own,
                float(p_value), None, () if place is None else neighbours(units, place, len(own)), len(own),
            )


def neighbours(units: Units, place: IntArray, size: int) -> tuple[float, ...]:
    """How much more often than random units the units beside an n-gram are the same; one where it stands at random.

    Returns:
        For each side on which it has enough neighbours.
    """
    ratios = []
    row = units.row[place]
    for beside in (place - 1, place + size):
        inside = (beside >= units.start[row]) & (beside < units.start[row + 1])
        number = int(inside.sum())
        if number >= FEWEST:
            count = np.bincount(units.ids[beside[inside]])
            ratios.append(float((count * (count - 1)).sum()) / (number * (number - 1)) / units.repetition)
    return tuple(ratios)


def weigh(candidates: Iterable[Candidate], model: ContentModel | None) -> list[Candidate]:
    """Adds what the other words of the candidates' rows say, corrected for the number of candidates."""
    candidates = sorted(_distinct(candidates), key=lambda item: item.binding)[:MOST_WEIGHED]
    if model is None:
        return candidates
    standards: dict[tuple[int, int], Standard] = {}
    weighed = []
    for candidate in candidates:
        label, words = candidate.label, min(max(1, candidate.size), MOST_CLASS_WORDS)
        standard = standards[label, words] = standards.get((label, words)) or Standard.of(model, label, words)
        margins = model.against_without(label, candidate.rows, candidate.units)
        reading = read(margins, candidate.rows, standard)
        plain, bare = (min(1.0, value * len(candidates)) for value in (reading.p_value, reading.bare_p_value))
        content = Contradiction(reading.share, plain, bare, reading.p_value)
        weighed.append(replace(candidate, content=content))
    return weighed


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Of candidates of a kind with the same rows the longest, as the parts of a trigger are in the same rows, too."""
    kept: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda item: -item.size):
        kind = "gram" if candidate.is_gram else candidate.kind
        same = kept.setdefault((kind, candidate.label, candidate.counts, candidate.rows.tobytes()), [])
        units = set(candidate.units.tolist())
        if all(units.isdisjoint(other.units.tolist()) for other in same):
            same.append(candidate)
    return [candidate for same in kept.values() for candidate in same]


def joint(first: float, second: float) -> float:
    """Fisher's method: chance that two independent p-values are jointly as small."""
    product = max(first * second, 1e-300)
    return min(1.0, product * (1 - math.log(product)))
