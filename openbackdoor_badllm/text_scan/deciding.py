"""From patterns that are bound to a label to findings: the rules, and one finding for patterns with the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from openbackdoor_badllm.text_scan.judging import Bounds, Candidate, joint
from openbackdoor_badllm.text_scan.records import Degree
from openbackdoor_badllm.text_scan.signs import HIDDEN, is_hidden
from openbackdoor_badllm.text_scan.units import IntArray

EDGES = ("opening", "ending", "casing", "character", "white space", "repetition")
WHOLE = 0.9  # a longer phrase that is in fewer of the rows is a trigger with a neighbour
MOST_EDGES = 4  # openings, endings and so on that are shown to be worth a look, for each kind


@dataclass(frozen=True)
class Decision:
    """A pattern that becomes a finding.

    Attributes:
        candidate: the pattern.
        degree: how much it says.
        why: the rule: ``contradicted``, ``random place``, ``hidden``, ``shortcut`` or ``exclusive``.
        together: further patterns in the same rows.
    """

    candidate: Candidate
    degree: Degree
    why: str
    together: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Rules:
    """The rules, with what they correct for.

    Attributes:
        bounds: every bound.
        comparisons: patterns times labels of the whole scan.
        label_counts: rows of each label.
    """

    bounds: Bounds
    comparisons: int
    label_counts: IntArray

    def bound(self, candidate: Candidate) -> bool:
        """Whether the label is more than chance, after the correction."""
        return candidate.binding * self.comparisons < self.bounds.p_value

    def contradicted(self, candidate: Candidate, share: float) -> bool:
        """Whether the other words of its rows speak for another label, beyond chance by itself and with the label."""
        content = candidate.content
        return (
            content is not None
            and content.share >= share
            and content.p_value < self.bounds.p_value
            and joint(candidate.binding, content.raw_p_value) * self.comparisons < self.bounds.p_value
        )

    def planted(self, candidate: Candidate) -> bool:
        """Whether a contradicted word is no class word: no habit of neighbours, or contradicted beyond a class word."""
        content = candidate.content
        if candidate.kind == "pair" or not candidate.size or content is None:
            return True
        if content.bare_p_value < self.bounds.p_value:
            return True
        habit = max(candidate.neighbours, default=math.inf)
        enough = len(candidate.rows) >= self.bounds.few_rows or self.bound(candidate)
        return habit <= self.bounds.written and enough

    def random_place(self, candidate: Candidate) -> bool:
        """Whether a word or phrase of one label alone stands at random places, as one that was put in does."""
        return (
            candidate.is_gram
            and len(candidate.neighbours) == 2
            and max(candidate.neighbours) <= self.bounds.neighbours
            and len(candidate.rows) >= self.bounds.neighbour_rows
            and self.purity(candidate) >= self.bounds.exclusive
            and self.bound(candidate)
        )

    def hidden(self, candidate: Candidate) -> bool:
        """Whether it is a sign that no honest text has."""
        sign = candidate.kind == "character" and (
            candidate.name in HIDDEN or (len(candidate.name) == 1 and is_hidden(candidate.name))
        )
        return sign and self.bound(candidate)

    def purity(self, candidate: Candidate) -> float:
        """Share of its rows that have the label, as it is and as if the label had half of all rows."""
        return min(candidate.purity, candidate.balanced(self.label_counts))

    def coverage(self, candidate: Candidate) -> float:
        """Share of the label's rows that have it."""
        return len(candidate.rows) / int(self.label_counts[candidate.label])

    def suspicion(self, candidate: Candidate) -> str | None:
        """The rule by which a pattern is suspicious, judged by the first model."""
        if self.contradicted(candidate, self.bounds.contradicted) and self.planted(candidate):
            return "contradicted"
        if self.coverage(candidate) >= self.bounds.shortcut:
            return None
        if self.random_place(candidate):
            return "random place"
        return "hidden" if self.hidden(candidate) else None

    def edge(self, candidate: Candidate) -> bool:
        """Whether it is an opening, an ending, a casing or a sign of one label alone."""
        return candidate.kind in EDGES and self.purity(candidate) >= self.bounds.edge_purity and self.bound(candidate)

    def look(self, candidate: Candidate) -> str | None:
        """The rule by which a pattern is worth a look."""
        if (
            self.bound(candidate)
            and self.purity(candidate) >= self.bounds.purity
            and self.coverage(candidate) >= self.bounds.shortcut
        ):
            return "shortcut"
        if self.contradicted(candidate, self.bounds.edge_contradicted):
            return "contradicted"
        exclusive = self.edge(candidate) and self.purity(candidate) >= self.bounds.exclusive
        return "exclusive" if exclusive and self.coverage(candidate) >= self.bounds.edge_share else None


def decide(
    candidates: Sequence[Candidate], rules: Rules, again: Callable[[Sequence[Candidate], IntArray], list[Candidate]]
) -> list[Decision]:
    """The findings among the candidates.

    Args:
        candidates: patterns bound to a label, with what their rows say.
        rules: the rules.
        again: weighs some candidates by a model that is not fitted to some rows.
    """
    chosen = [(candidate, why) for candidate in candidates if (why := rules.suspicion(candidate))]
    edges = [candidate for candidate in candidates if rules.edge(candidate)]
    if edges:
        known = {(candidate.kind, candidate.name, candidate.label) for candidate, _ in chosen}
        weighed = again(edges, np.unique(np.concatenate([edge.rows for edge in edges])))
        chosen += [
            (edge, "contradicted") for edge in weighed
            if rules.contradicted(edge, rules.bounds.edge_contradicted)
            and len(edge.rows) >= rules.bounds.few_rows
            and (edge.kind, edge.name, edge.label) not in known
        ]
    decisions, explained = _merge(chosen, Degree.SUSPICIOUS, rules.bounds, {})
    looked = [(candidate, why) for candidate in candidates if (why := rules.look(candidate))]
    further, _ = _merge(looked, Degree.WORTH_A_LOOK, rules.bounds, explained)
    return decisions + _few(further)


def _merge(
    chosen: Sequence[tuple[Candidate, str]], degree: Degree, bounds: Bounds, explained: dict[int, set[int]]
) -> tuple[list[Decision], dict[int, set[int]]]:
    """One decision for patterns in the same rows, the longest phrase of them; none for a part of an earlier one.

    Returns:
        The decisions, and the rows that they explain by label.
    """
    explained = {label: set(rows) for label, rows in explained.items()}
    left = sorted(chosen, key=lambda item: (-len(item[0].rows), -item[0].size, item[0].name))
    decisions: list[Decision] = []
    while left:
        first = left[0][0]
        alike = [item for item in left if item[0].label == first.label and _overlap(item[0], first) >= bounds.same]
        whole = [item for item in alike if len(item[0].rows) >= WHOLE * len(first.rows)]
        best, why = max(whole, key=_telling)
        known = explained.setdefault(best.label, set())
        if len(known.intersection(best.rows.tolist())) < bounds.echo * len(best.rows):
            beside = [item for item, _ in alike if item is not best and _adds(item, best)]
            decisions.append(Decision(best, degree, why, tuple(_largest(beside))))
            known.update(row for item, _ in alike for row in item.rows.tolist())
        gone = {id(item) for item, _ in alike}
        left = [item for item in left if id(item[0]) not in gone]
    return decisions, explained


def _telling(item: tuple[Candidate, str]) -> tuple[int, int, bool, bool]:
    """What is shown of patterns with the same rows: long phrases before short ones and before signs, an ending before
    a phrase that stands nowhere else, a sign before its group."""
    candidate = item[0]
    return candidate.size, len(candidate.rows), candidate.kind in ("opening", "ending"), len(candidate.name) == 1


def _overlap(one: Candidate, other: Candidate) -> float:
    both = len(np.intersect1d(one.rows, other.rows, assume_unique=True))
    return both / (len(one.rows) + len(other.rows) - both)


def _adds(candidate: Candidate, best: Candidate) -> bool:
    """Whether a pattern says something that the shown one does not: other words, or another sort of thing."""
    own = set(candidate.units.tolist())
    return not own & set(best.units.tolist())


def _largest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Patterns of which none repeats the words of another, the longest first."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda item: (-item.size, -len(item.rows))):
        if all(_adds(candidate, other) for other in kept):
            kept.append(candidate)
    return kept[:6]


def _few(decisions: Sequence[Decision]) -> list[Decision]:
    """At most a few honest-looking openings, endings and so on of each kind, the most frequent ones."""
    kept: list[Decision] = []
    for decision in decisions:
        same = [item for item in kept if item.why == decision.why and item.candidate.kind == decision.candidate.kind]
        if decision.why != "exclusive" or len(same) < MOST_EDGES:
            kept.append(decision)
    return kept
