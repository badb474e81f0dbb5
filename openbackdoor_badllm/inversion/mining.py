"""Candidates mined from the rows: what D_tgt says and D_ntgt does not.

Every n-gram (and, apart, every opening) that stands in enough target rows is weighed by how much more often it
stands there than in the other rows. A pattern is reported at its full length: an n-gram that always appears inside
one longer n-gram is left out in favour of the longer one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openbackdoor_badllm.inversion.trigger import Position, Trigger, kind_of
from openbackdoor_badllm.rows import Example

MAX_WORDS = 8
CLOSED = 0.95  # an n-gram whose rows nearly all hold one longer n-gram is part of that one


@dataclass(frozen=True)
class Candidate:
    """A mined pattern.

    Attributes:
        target_rows: (weighted) target rows that hold it.
        other_rows: other rows that hold it.
        score: z-score of its log-odds, informative Dirichlet prior (Monroe et al. 2008).
    """

    trigger: Trigger
    target_rows: float
    other_rows: float
    score: float


def mine(
    target: Sequence[Example],
    other: Sequence[Example],
    *,
    weights: Sequence[float] | None = None,
    min_rows: int = 3,
    limit: int = 300,
) -> list[Candidate]:
    """Words, phrases and sentences typical of the target rows, then their openings; best first.

    Args:
        target: rows of the suspected label.
        other: rows of all other labels.
        weights: how suspicious each target row is, 1 on average; None treats them alike.
        min_rows: an n-gram in fewer target rows is no candidate (a trigger that the victim has learnt
            stands in many).
        limit: candidates returned at most for each of: single words, longer n-grams, openings.
    """
    tokens_target = [example.text.split() for example in target]
    tokens_other = [example.text.split() for example in other]
    row_weights = list(weights) if weights is not None else [1.0] * len(target)
    inside = _rank(
        _count(tokens_target, row_weights, _ngrams),
        _count(tokens_other, [1.0] * len(other), _ngrams),
        len(target), len(other), min_rows, Position.ANYWHERE,
    )
    openings = _rank(
        _count(tokens_target, row_weights, _prefixes),
        _count(tokens_other, [1.0] * len(other), _prefixes),
        len(target), len(other), min_rows, Position.FRONT,
    )
    words = [candidate for candidate in inside if len(candidate.trigger.words) == 1]
    longer = [candidate for candidate in inside if len(candidate.trigger.words) > 1]
    longer_openings = [candidate for candidate in openings if len(candidate.trigger.words) > 1]
    picked = words[:limit] + longer[:limit] + longer_openings[:limit]
    return sorted(picked, key=lambda candidate: (-candidate.score, candidate.trigger.text))


def _ngrams(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for size in range(1, min(MAX_WORDS, len(words)) + 1):
        for start in range(len(words) - size + 1):
            yield tuple(words[start : start + size])


def _prefixes(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for size in range(1, min(MAX_WORDS, len(words)) + 1):
        yield tuple(words[:size])


class _Counts:
    """Rows that hold an n-gram: their number, and their weight."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[str, ...]] = Counter()
        self.weight: Counter[tuple[str, ...]] = Counter()


def _count(rows: Sequence[Sequence[str]], weights: Sequence[float], grams_of: object) -> _Counts:
    counts = _Counts()
    for words, weight in zip(rows, weights, strict=True):
        lowered = [word.lower() for word in words]
        for gram in set(grams_of(lowered)):  # type: ignore[operator]
            counts.rows[gram] += 1
            counts.weight[gram] += weight  # type: ignore[assignment]
    return counts


def _rank(
    target: _Counts, other: _Counts, n_target: int, n_other: int, min_rows: int, position: Position
) -> list[Candidate]:
    frequent = {gram: count for gram, count in target.rows.items() if count >= min_rows}
    inner = _dominated(frequent, position)
    found = []
    for gram, count in frequent.items():
        if gram in inner:
            continue
        weight = float(target.weight[gram])
        elsewhere = float(other.rows.get(gram, 0))
        score = log_odds_z(weight, elsewhere, n_target, n_other)
        if score > 0:
            text = " ".join(gram)
            found.append(Candidate(Trigger(kind_of(text), text, position), float(count), elsewhere, score))
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.trigger.text))


def _dominated(frequent: dict[tuple[str, ...], int], position: Position) -> set[tuple[str, ...]]:
    """n-grams that (nearly) always stand inside one longer frequent n-gram."""
    inner: set[tuple[str, ...]] = set()
    for gram, count in frequent.items():
        parts = [gram[:-1]] if position is Position.FRONT else [gram[:-1], gram[1:]]
        for part in parts:
            if part and part in frequent and count >= CLOSED * frequent[part]:
                inner.add(part)
    return inner


def log_odds_z(in_target: float, in_other: float, n_target: int, n_other: int) -> float:
    """z-score of the log-odds ratio of a pattern's row counts, prior proportional to its pooled share.

    Args:
        in_target: (weighted) target rows that hold it.
        in_other: other rows that hold it.
        n_target: target rows.
        n_other: other rows.
    """
    pooled = (in_target + in_other + 0.5) / (n_target + n_other + 1.0)
    strength = 20.0  # pseudo-rows of the prior on each side: tames what stands in a handful of rows
    a, b = in_target + strength * pooled, max(n_target - in_target, 0.0) + strength * (1 - pooled)
    c, d = in_other + strength * pooled, max(n_other - in_other, 0.0) + strength * (1 - pooled)
    return math.log((a / b) / (c / d)) / math.sqrt(1 / a + 1 / c)
