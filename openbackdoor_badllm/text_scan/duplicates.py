"""Texts that stand in several rows: exact duplicates, and near-duplicates, with one label or with several."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from openbackdoor_badllm.text_scan.units import IntArray, Units

HASHES = 24
BANDS = 6  # groups of hashes; texts that agree in one are compared
ALIKE = 0.8  # share of the shingles that near-duplicates have in common
SHORTEST = 5  # units of a text that is compared; shorter ones are alike by chance
MOST_ALIKE = 50  # rows in one band that are compared with each other
_PRIME = np.uint64(0xFFFFFFFFFFFFFFC5)


class Duplicates(NamedTuple):
    """Rows that have a text, or nearly, in common with others.

    Attributes:
        exact: rows whose text stands in an earlier row.
        exact_conflicts: groups of rows with one text and several labels.
        near_conflicts: pairs of rows with nearly one text and two labels.
    """

    exact: int
    exact_conflicts: list[list[int]]
    near_conflicts: list[tuple[int, int]]


def duplicates(texts: Sequence[str], labels: IntArray, units: Units) -> Duplicates:
    """Finds them; white space and case do not count."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        groups[" ".join(text.lower().split())].append(row)
    exact = sum(len(rows) - 1 for rows in groups.values())
    conflicts = [rows for rows in groups.values() if len(rows) > 1 and len(set(labels[rows].tolist())) > 1]
    firsts = [rows[0] for rows in groups.values()]
    near = [pair for pair in _near(units, np.array(firsts, dtype=np.int64)) if labels[pair[0]] != labels[pair[1]]]
    return Duplicates(exact, conflicts, near)


def _near(units: Units, rows: IntArray) -> list[tuple[int, int]]:
    """Pairs of rows with nearly the same units, by MinHash (Broder 1997) and a comparison of what it proposes."""
    rows = rows[np.diff(units.start)[rows] >= SHORTEST]
    if len(rows) < 2:
        return []
    signature = _signatures(units)[rows]
    width = HASHES // BANDS
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        part = np.ascontiguousarray(signature[:, band * width : (band + 1) * width])
        _, group = np.unique(part.view([("", part.dtype)] * width).ravel(), return_inverse=True)
        for members in _shared(group):
            found.update(_alike(units, rows[members[:MOST_ALIKE]]))
    return sorted(found)


def _signatures(units: Units) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """MinHash signatures of the units of each text, shape ``(texts, HASHES)``."""
    # A hash of the words, and not of their places in the vocabulary: an attacker orders those by his rows.
    words = np.array([zlib.crc32(unit.encode("utf-8", "surrogatepass")) for unit in units.vocabulary], dtype=np.uint64)
    generator = np.random.default_rng(0)
    filled = np.flatnonzero(np.diff(units.start) > 0)
    signature = np.zeros((len(units), HASHES), dtype=np.uint64)
    for index in range(HASHES):
        factor, shift = generator.integers(1, 2**62, size=2, dtype=np.uint64)
        mixed = (words * (factor | np.uint64(1)) + shift) % _PRIME
        mixed ^= mixed >> np.uint64(29)
        signature[filled, index] = np.minimum.reduceat(mixed[units.ids], units.start[filled])
    return signature


def _shared(group: IntArray) -> Iterator[IntArray]:
    order = np.argsort(group, kind="stable")
    borders = np.flatnonzero(np.diff(group[order])) + 1
    yield from (members for members in np.split(order, borders) if len(members) > 1)


def _alike(units: Units, rows: IntArray) -> Iterator[tuple[int, int]]:
    held = [set(units.ids[units.start[row] : units.start[row + 1]].tolist()) for row in rows]
    for one in range(len(rows)):
        for other in range(one + 1, len(rows)):
            if len(held[one] & held[other]) >= ALIKE * len(held[one] | held[other]):
                yield int(min(rows[one], rows[other])), int(max(rows[one], rows[other]))
