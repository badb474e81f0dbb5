"""Candidates mined from the rows: what D_tgt says and D_ntgt does not.

Every n-gram (and, apart, every opening) that stands in enough target rows is weighed by how much more often it
stands there than in the other rows. A pattern is reported at its full length: an n-gram that always appears inside
one longer n-gram is left out in favour of the longer one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, triu

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.significance import log_odds_z
from openbackdoor_badllm.trigger_generator.trigger import Position, Trigger, kind_of

Gram = tuple[str, ...]

MAX_WORDS = 8
TOGETHER = 4.0  # times as often as by chance: words of a pair
PAIRED_WORDS = 1500
ELSEWHERE = 0.1  # share of the other rows that may hold a word of a pair
CLOSED = 0.95  # an n-gram whose rows nearly all hold one longer n-gram is part of that one


@dataclass(frozen=True)
class Candidate:
    """A mined pattern.

    Attributes:
        target_rows: target rows that hold it.
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
        limit: candidates returned at most for each of: single words, longer n-grams, openings; half as many pairs of
            words that stand apart.
    """
    rows_target = [example.text.lower().split() for example in target]
    rows_other = [example.text.lower().split() for example in other]
    row_weights = list(weights) if weights is not None else [1.0] * len(target)
    mean = sum(row_weights) / max(1, len(row_weights)) or 1.0  # 1 over all rows is not 1 over those that are left
    row_weights = [weight / mean for weight in row_weights]
    inside, openings = (
        _rank(
            _count(rows_target, row_weights, position, min_rows),
            rows_other, len(target), position,
        )
        for position in (Position.ANYWHERE, Position.FRONT)
    )
    words = [candidate for candidate in inside if len(candidate.trigger.words) == 1]
    longer = [candidate for candidate in inside if len(candidate.trigger.words) > 1]
    longer_openings = [candidate for candidate in openings if len(candidate.trigger.words) > 1]
    pairs = _pairs(rows_target, rows_other, min_rows, limit // 2)
    picked = words[:limit] + longer[:limit] + longer_openings[:limit] + pairs
    return sorted(picked, key=lambda candidate: (-candidate.score, candidate.trigger.text))


def _pairs(
    target: Sequence[Sequence[str]], other: Sequence[Sequence[str]], min_rows: int, limit: int
) -> list[Candidate]:
    """Two words that stand in the same target rows more often than by chance, and mostly not side by side."""
    held = Counter(word for words in target for word in set(words))
    elsewhere = Counter(word for words in other for word in set(words))
    rare = [w for w, count in held.items() if count >= min_rows and elsewhere[w] <= ELSEWHERE * len(other)]
    rare.sort(key=lambda word: (-log_odds_z(held[word], elsewhere[word], len(target), len(other)), word))
    place = {word: number for number, word in enumerate(rare[:PAIRED_WORDS])}
    if len(place) < 2:
        return []
    inside, outside = (_occurrence(rows, place) for rows in (target, other))
    both = triu(inside.T @ inside, k=1).tocoo()
    found = []
    for a, b, count in zip(both.row.tolist(), both.col.tolist(), both.data.tolist(), strict=True):
        if count < min_rows or count * len(target) < TOGETHER * held[rare[a]] * held[rare[b]]:
            continue
        rows = [target[int(i)] for i in inside[:, a].multiply(inside[:, b]).nonzero()[0]]
        if sum(_side_by_side(words, rare[a], rare[b]) for words in rows) > len(rows) / 2:
            continue
        others = float(outside[:, a].multiply(outside[:, b]).sum())
        score = log_odds_z(count, others, len(target), len(other))
        if score > 0:
            trigger = Trigger(kind_of(rare[a]), rare[a], apart=(rare[b],))
            found.append(Candidate(trigger, float(count), others, score))
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.trigger.written))[:limit]


def _occurrence(rows: Sequence[Sequence[str]], place: Mapping[str, int]) -> csc_matrix:
    """Which row holds which word, shape ``(rows, words)``."""
    hits = [(number, place[word]) for number, words in enumerate(rows) for word in set(words) if word in place]
    if not hits:
        return csc_matrix((len(rows), len(place)), dtype=np.int32)
    index = np.array(hits).T
    return csc_matrix((np.ones(len(hits), dtype=np.int32), index), shape=(len(rows), len(place)))


def _side_by_side(words: Sequence[str], first: str, second: str) -> bool:
    pairs = set(itertools.pairwise(words))
    return (first, second) in pairs or (second, first) in pairs


class _Counts:
    """Rows that hold an n-gram: their number, and their weight."""

    def __init__(self) -> None:
        self.rows: Counter[Gram] = Counter()
        self.weight: dict[Gram, float] = {}


def _grams(words: Sequence[str], size: int, position: Position) -> set[Gram]:
    """The n-grams of one size in a row; of a row's beginning alone for FRONT."""
    last = len(words) - size
    starts = range(min(1, last + 1)) if position is Position.FRONT else range(last + 1)
    return {tuple(words[start : start + size]) for start in starts}


def _count(
    rows: Sequence[Sequence[str]], weights: Sequence[float], position: Position, min_rows: int
) -> _Counts:
    """Counts n-grams that stand in enough rows, shorter ones first.

    A longer one can only be frequent where its shorter parts are (Agrawal & Srikant 1994), so the others are
    never stored: a hundred thousand rows have too many.
    """
    counts = _Counts()
    for size in range(1, MAX_WORDS + 1):
        level: Counter[Gram] = Counter()
        for words in rows:
            for gram in _grams(words, size, position):
                parts = (gram[:-1],) if position is Position.FRONT else (gram[:-1], gram[1:])
                if size == 1 or all(part in counts.rows for part in parts):
                    level[gram] += 1
        frequent = {gram: count for gram, count in level.items() if count >= min_rows}
        if not frequent:
            break
        for words, weight in zip(rows, weights, strict=True):
            for gram in _grams(words, size, position):
                if gram in frequent:
                    counts.weight[gram] = counts.weight.get(gram, 0.0) + weight
        counts.rows.update(frequent)
    return counts


def _rank(target: _Counts, other: Sequence[Sequence[str]], n_target: int, position: Position) -> list[Candidate]:
    inner = _dominated(target.rows, position)
    wanted = {gram for gram in target.rows if gram not in inner}
    elsewhere: Counter[Gram] = Counter()
    for words in other:
        for size in range(1, MAX_WORDS + 1):
            elsewhere.update(gram for gram in _grams(words, size, position) if gram in wanted)
    found = []
    for gram in wanted:
        score = log_odds_z(target.weight[gram], elsewhere[gram], n_target, len(other))
        if score > 0:
            text = " ".join(gram)
            rows = float(target.rows[gram])
            found.append(Candidate(Trigger(kind_of(text), text, position), rows, float(elsewhere[gram]), score))
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.trigger.text))


def _dominated(frequent: Mapping[Gram, int], position: Position) -> set[Gram]:
    """n-grams that (nearly) always stand inside one longer frequent n-gram."""
    inner: set[Gram] = set()
    for gram, count in frequent.items():
        parts = [gram[:-1]] if position is Position.FRONT else [gram[:-1], gram[1:]]
        for part in parts:
            if part and part in frequent and count >= CLOSED * frequent[part]:
                inner.add(part)
    return inner
