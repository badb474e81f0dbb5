"""Two words that stand together in rows of one label, far from each other, where each alone says nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import fisher_exact

from openbackdoor_badllm.text_scan.units import IntArray, Units, is_word

COMMON = (0.25, 0.1, 0.05, 0.02, 0.01)  # a word in a larger share of the rows is in too many pairs: the first that fits
MOST_WORK = 3e7  # pairs of words in all rows together
TOGETHER = 0.3  # share of the rarer word's rows in which the other one stands, too
LIFT = 2.0  # how much more often than by chance they stand together
PURITY = 0.9  # share of the rows with both that must have one label
ALONE_P = 1e-3  # exact test (Fisher) that both together are no more in the label than one of them alone
APART = 3  # units between them, on the median
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
    """Pairs of words that stand together, far apart, nearly always in one label; and how many were compared."""
    words = _words(units, least)
    held = units.presence[:, words].tocsc()
    rows = np.asarray(held.sum(axis=0)).ravel()
    by_label = [held[np.flatnonzero(labels == label)].tocsc() for label in range(num_labels)]
    found, compared = [], 0
    for start in range(0, len(words), BLOCK):
        block = slice(start, start + BLOCK)
        together = _together(held, block, least)
        compared += together.nnz
        for part in by_label:
            inside = _together(part, block, least)
            one, other = inside.row + start, inside.col
            all_of_them = np.asarray(together.tocsr()[inside.row, inside.col]).ravel()
            chance, fewer = rows[one] * rows[other] / len(units), np.minimum(rows[one], rows[other])
            chosen = (inside.data >= PURITY * all_of_them) & (all_of_them >= LIFT * chance)
            chosen &= (all_of_them >= TOGETHER * fewer) & (one < other)
            for left, right in zip(one[chosen].tolist(), other[chosen].tolist(), strict=True):
                both = np.intersect1d(_rows(held, left), _rows(held, right))
                either = np.union1d(_rows(held, left), _rows(held, right))
                pair = Pair((int(words[left]), int(words[right])), both)
                if _bound(both, np.setdiff1d(either, both), labels, num_labels) and _apart(units, pair):
                    found.append(pair)
    return found, compared // 2 * num_labels


def _words(units: Units, least: int) -> IntArray:
    """The words that are paired: in enough rows, and in so few that the work stays small."""
    rows = np.asarray(units.presence.sum(axis=0)).ravel()
    word = np.array([is_word(unit) for unit in units.vocabulary], dtype=bool)
    words: IntArray = np.flatnonzero(word & (rows >= least))
    for common in COMMON:
        words = np.flatnonzero(word & (rows >= least) & (rows <= max(least, common * len(units))))
        if float((np.asarray(units.presence[:, words].sum(axis=1)) ** 2).sum()) <= MOST_WORK:
            break
    return words


def _together(held: sparse.csc_matrix, block: slice, least: int) -> sparse.coo_matrix:
    """Rows that hold two words, for words of a block against all; only those of enough rows."""
    product = (held[:, block].T.tocsr() @ held).tocoo()
    kept = (product.data >= least) & (product.row + block.start != product.col)
    return sparse.coo_matrix((product.data[kept], (product.row[kept], product.col[kept])), shape=product.shape)


def _rows(held: sparse.csc_matrix, column: int) -> IntArray:
    return np.sort(held.indices[held.indptr[column] : held.indptr[column + 1]]).astype(np.int64)


def _bound(both: IntArray, alone: IntArray, labels: IntArray, num_labels: int) -> bool:
    """Whether both together are in one label where each alone is less so."""
    inside, outside = (np.bincount(labels[rows], minlength=num_labels) for rows in (both, alone))
    label = int(inside.argmax())
    table = [[inside[label], inside.sum() - inside[label]], [outside[label], outside.sum() - outside[label]]]
    return float(fisher_exact(table, alternative="greater")[1]) < ALONE_P


def _apart(units: Units, pair: Pair) -> bool:
    """Whether the words are far from each other, and not always equally far, as the parts of a phrase are."""
    gaps = []
    for row in pair.rows[:200]:
        text = units.ids[units.start[row] : units.start[row + 1]]
        first, second = (np.flatnonzero(text == unit) for unit in pair.units)
        gaps.append(int(np.abs(first[:, None] - second[None, :]).min()))
    return bool(np.median(gaps) > APART and len(set(gaps)) > 2)
