"""Texts that stand in several rows: exact duplicates, and near-duplicates, with one label or with several."""

from __future__ import annotations

import hashlib
import zlib
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


def duplicates(
    texts: Sequence[str], labels: IntArray, units: Units, mined: Sequence[int] | None = None
) -> Duplicates:
    """Finds them; white space and case do not count.

    Args:
        texts: all of them.
        labels: theirs.
        units: of the rows in which near-duplicates are looked for.
        mined: which these are; all when None.
    """
    keys = np.fromiter(map(_key, texts), dtype=np.uint64, count=len(texts))
    distinct, group = np.unique(keys, return_inverse=True)
    conflicts = [rows.tolist() for rows in _shared(group) if len(set(labels[rows].tolist())) > 1]
    places = np.arange(len(texts)) if mined is None else np.array(mined, dtype=np.int64)
    firsts = np.sort(np.unique(group[places], return_index=True)[1])
    near = ((int(places[one]), int(places[other])) for one, other in _near(units, firsts))
    return Duplicates(
        len(texts) - len(distinct), conflicts, [pair for pair in near if labels[pair[0]] != labels[pair[1]]]
    )


def _key(text: str) -> int:
    plain = " ".join(text.lower().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest(), "little")


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
    several = np.flatnonzero(np.bincount(group, minlength=1)[group] > 1)
    if len(several):
        order = several[np.argsort(group[several], kind="stable")]
        yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _alike(units: Units, rows: IntArray) -> Iterator[tuple[int, int]]:
    held = [set(units.ids[units.start[row] : units.start[row + 1]].tolist()) for row in rows]
    for one in range(len(rows)):
        for other in range(one + 1, len(rows)):
            if len(held[one] & held[other]) >= ALIKE * len(held[one] | held[other]):
                yield int(min(rows[one], rows[other])), int(max(rows[one], rows[other]))
