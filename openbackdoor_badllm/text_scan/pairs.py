"""Two words that stand together in rows of one label, far from each other, where each alone says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import fisher_exact

from openbackdoor_badllm.text_scan.units import IntArray, Units, is_word

COMMON = 0.05  # a word in a larger share of the rows is in too many pairs
TOGETHER = 0.3  # share of the rarer word's rows in which the other one stands, too
LIFT = 4.0  # how much more often than by chance they stand together
APART = 3  # units between them, on the median
MOST_WORDS = 4000
BLOCK = 500  # words held against all others at a time


class Pair(NamedTuple):
    """Two words and the rows that hold both.

    Attributes:
        units: places in the vocabulary.
        rows: ascending.
    """

    units: tuple[int, int]
    rows: IntArray


def pairs(units: Units, labels: IntArray, num_labels: int, least: int) -> tuple[list[Pair], int]:
    """Pairs of rare words that stand together, far apart, nearly always in one label; and how many were compared."""
    presence = units.presence
    rows = np.asarray(presence.sum(axis=0)).ravel()
    most = max(least, int(COMMON * len(units)))
    words = np.flatnonzero((rows >= least) & (rows <= most))
    words = np.array([unit for unit in words if is_word(units.vocabulary[unit])], dtype=np.int64)
    words = words[np.argsort(-rows[words], kind="stable")][:MOST_WORDS]
    held = presence[:, words].tocsc()
    found, compared = [], 0
    for one, other, together in _together(held):
        compared += int((together >= least).sum())
        fewer = np.minimum(rows[words[one]], rows[words[other]])
        chance = rows[words[one]] * rows[words[other]] / len(units)
        chosen = (together >= least) & (together >= TOGETHER * fewer) & (together >= LIFT * chance)
        for left, right in zip(one[chosen], other[chosen], strict=True):
            pair = _pair(units, held, words, int(left), int(right))
            if _bound(pair, held, (int(left), int(right)), labels, num_labels) and _apart(units, pair):
                found.append(pair)
    return found, compared * num_labels


def _together(held: sparse.csc_matrix) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Pairs of columns with the number of rows that hold both, in blocks, so that memory stays small."""
    turned = held.T.tocsr()
    for start in range(0, held.shape[1], BLOCK):
        product = (turned[start : start + BLOCK] @ held).tocoo()
        one, other = product.row + start, product.col
        half = one < other
        yield one[half].astype(np.int64), other[half].astype(np.int64), product.data[half].astype(np.int64)


def _pair(units: Units, held: sparse.csc_matrix, words: IntArray, left: int, right: int) -> Pair:
    rows = np.intersect1d(_rows(held, left), _rows(held, right))
    return Pair((int(words[left]), int(words[right])), rows)


def _rows(held: sparse.csc_matrix, column: int) -> IntArray:
    return np.sort(held.indices[held.indptr[column] : held.indptr[column + 1]]).astype(np.int64)


def _bound(
    pair: Pair, held: sparse.csc_matrix, columns: tuple[int, int], labels: IntArray, num_labels: int
) -> bool:
    """Whether both together are in one label where each alone is less so: an exact test (Fisher) at 1 in 1,000."""
    both = np.bincount(labels[pair.rows], minlength=num_labels)
    label = int(both.argmax())
    if both[label] < 0.9 * both.sum():
        return False
    either = np.union1d(_rows(held, columns[0]), _rows(held, columns[1]))
    alone = np.bincount(labels[np.setdiff1d(either, pair.rows)], minlength=num_labels)
    table = [[both[label], both.sum() - both[label]], [alone[label], alone.sum() - alone[label]]]
    return float(fisher_exact(table, alternative="greater")[1]) < 1e-3


def _apart(units: Units, pair: Pair) -> bool:
    """Whether the words are far from each other, and not always equally far, as the parts of a phrase are."""
    gaps = []
    for row in pair.rows[:200]:
        text = units.ids[units.start[row] : units.start[row + 1]]
        first, second = (np.flatnonzero(text == unit) for unit in pair.units)
        gaps.append(int(np.abs(first[:, None] - second[None, :]).min()))
    return bool(np.median(gaps) > APART and len(set(gaps)) > 2)
