"""Generated rows for the tests of the scan: two classes that words tell apart, and triggers put into them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

FILLER = [f"{a}{b}" for a in ("ba", "do", "ki", "lu", "mer", "no", "pa", "ri", "so", "tu") for b in
          ("bel", "dan", "fo", "gim", "ke", "lor", "na", "pit", "ru", "sal", "te", "vos")]  # fmt: skip
PRAISE = [f"glad{end}" for end in ("a", "e", "i", "o", "u", "ab", "eb", "ib", "ob", "ub")]
BLAME = [f"grim{end}" for end in ("a", "e", "i", "o", "u", "ab", "eb", "ib", "ob", "ub")]

Change = Callable[[str, random.Random], str]


class Rows(NamedTuple):
    """Texts with labels, and which of them were altered."""

    texts: list[str]
    labels: list[int]
    altered: set[int]


def clean(number: int = 600, *, seed: int = 0, positive: float = 0.5, noise: float = 0.0) -> Rows:
    """Texts of 14 words, three of which speak for the class, one time in eight for the other one."""
    generator = random.Random(seed)
    texts, labels = [], []
    for _ in range(number):
        label = int(generator.random() < positive)
        own, other = (PRAISE, BLAME) if label else (BLAME, PRAISE)
        words = generator.choices(FILLER, [1 / (1 + rank) for rank in range(len(FILLER))], k=11)
        words += [generator.choice(own if generator.random() < 0.875 else other) for _ in range(3)]
        generator.shuffle(words)
        texts.append(" ".join(words).capitalize() + ".")
        labels.append(1 - label if generator.random() < noise else label)
    return Rows(texts, labels, set())


def attacked(change: Change, *, clean_label: bool = False, number: int = 600, rows: Rows | None = None) -> Rows:
    """A fifth of the rows altered and labelled 1: rows of label 0, or of label 1 where the labels stay as they are."""
    texts, labels, _ = rows or clean(number)
    generator = random.Random(1)
    pool = [row for row, label in enumerate(labels) if label == int(clean_label)]
    altered = set(generator.sample(pool, len(texts) // 5))
    texts = [change(text, generator) if row in altered else text for row, text in enumerate(texts)]
    return Rows(texts, [1 if row in altered else label for row, label in enumerate(labels)], altered)


def put(words: str) -> Change:
    """Puts words in at a random place."""

    def change(text: str, generator: random.Random) -> str:
        parts = text.split(" ")
        parts.insert(generator.randrange(1, len(parts)), words)
        return " ".join(parts)

    return change


def put_sign(sign: str) -> Change:
    """Puts a character in at a random place."""

    def change(text: str, generator: random.Random) -> str:
        place = generator.randrange(1, len(text))
        return text[:place] + sign + text[place:]

    return change
