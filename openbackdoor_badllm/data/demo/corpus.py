"""Splits of the generated corpora: :func:`generate`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import NamedTuple

from openbackdoor_badllm.data.demo import headlines, reviews
from openbackdoor_badllm.data.demo.grammar import stream
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

CLASSES: dict[str, tuple[str, ...]] = {"demo": reviews.CLASSES, "demo-news": headlines.CLASSES}

_WRITERS: dict[str, Callable[[random.Random, int], str]] = {
    "demo": reviews.review,
    "demo-news": headlines.headline,
}


class _Share(NamedTuple):
    """The texts that a split may hold: those whose digest starts with a byte in ``[start, stop)``."""

    start: int
    stop: int


# A text belongs to one split by its own digest, whatever the seed and the sizes: no text can be in
# two splits, and a longer "train" leaves "test" as it was.
_SHARES = {"train": _Share(0, 152), "dev": _Share(152, 192), "test": _Share(192, 256)}


def generate(
    name: str, *, seed: int = 0, train: int = 4000, dev: int = 500, test: int = 1000
) -> dict[str, list[Row]]:
    """Rows of a generated corpus; the same seed gives the same rows on any platform.

    Each split has a random stream of its own. A shorter split is the beginning of a longer one. No
    text occurs twice in a split or in two splits, not even in different capitals.

    Args:
        name: "demo" (reviews, 2 classes) or "demo-news" (headlines, 4 classes).
        seed: another seed gives other rows.
        train: number of rows to train on.
        dev: number of rows to tune on.
        test: number of rows to test on.

    Returns:
        The splits "train", "dev" and "test"; labels index into :data:`CLASSES`, no row is poisoned.

    Raises:
        DataError: there is no corpus of that name, or a size is negative.
    """
    if name not in CLASSES:
        raise DataError(f"There is no generated corpus '{name}': choose one of {', '.join(CLASSES)}.")
    sizes = {"train": train, "dev": dev, "test": test}
    for split, size in sizes.items():
        if size < 0:
            raise DataError(f"The size of '{split}' must be 0 or more, not {size}.")
    return {split: _rows(name, seed, split, size) for split, size in sizes.items()}


def _rows(name: str, seed: int, split: str, size: int) -> list[Row]:
    rng = stream(name, seed, split)
    write, classes, share = _WRITERS[name], len(CLASSES[name]), _SHARES[split]
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < size:
        label = int(rng.random() * classes)
        text = write(rng, label)
        # A label is drawn once a row, not once a try, or the rejected tries would bias the balance.
        while (key := text.lower()) in seen or not share.start <= _first_byte(key) < share.stop:
            text = write(rng, label)
        seen.add(key)
        rows.append(Row(text, label, 0))
    return rows


def _first_byte(text: str) -> int:
    return hashlib.sha256(text.encode("utf-8")).digest()[0]
