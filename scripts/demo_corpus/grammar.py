"""Seeded choice and slots of the generated corpora.

Only :meth:`random.Random.random` is called, because it is the one method whose sequence Python
promises to keep between versions; ``choice``, ``sample`` and ``shuffle`` carry no such promise.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from openbackdoor_badllm.attacks.paraphrasers.phrases import alternatives, chance, pick, sentence_case

__all__ = [
    "Slots",
    "alternatives",
    "chance",
    "pick",
    "pick_many",
    "pick_weighted",
    "sentence_case",
    "stream",
    "with_article",
]

T = TypeVar("T")

_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_VOWEL_SOUND = re.compile(r"(?!one\b|uni[^mn]|use|usu|eu)[aeiou]|hour|hon(?:est|our)", re.IGNORECASE)


def stream(*parts: object) -> random.Random:
    """A generator of its own for each combination of parts, equal on every platform."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode("utf-8")).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def pick_many(rng: random.Random, options: Sequence[T], count: int) -> list[T]:
    """Some of the options without repetition, in random order.

    Args:
        rng: source of randomness.
        options: what to draw from; at least ``count`` long.
        count: how many to draw.
    """
    left = list(options)
    return [left.pop(int(rng.random() * len(left))) for _ in range(count)]


def pick_weighted(rng: random.Random, options: Sequence[tuple[float, T]]) -> T:
    """One of the options, each as likely as its weight says; the weights need not sum to one."""
    point = rng.random() * sum(weight for weight, _ in options)
    for weight, option in options:
        point -= weight
        if point < 0:
            return option
    return options[-1][1]


def with_article(phrase: str) -> str:
    """The phrase behind the "a" or "an" that its first sound asks for."""
    return ("an " if _VOWEL_SOUND.match(phrase) else "a ") + phrase


class Slots:
    """Fills ``{name}`` slots and remembers them, so that a text speaks of one city throughout.

    ``{club2}`` draws from the same list as ``{club}`` and never gives the same phrase.
    """

    def __init__(self, rng: random.Random, fillers: Mapping[str, Sequence[str]]) -> None:
        self._rng = rng
        self._fillers = fillers
        self._bound: dict[str, str] = {}

    def fill(self, template: str) -> str:
        """The template with every slot filled; fillers may hold slots of their own.

        Raises:
            KeyError: a slot has no list of fillers (a slip in a lexicon of ours).
        """
        while _SLOT.search(template):
            template = _SLOT.sub(self._value, template)
        return template

    def _value(self, match: re.Match[str]) -> str:
        slot, name = match.group(0), match.group(1)
        if slot not in self._bound:
            taken = [value for key, value in self._bound.items() if key.strip("{}0123456789") == name]
            free = [phrase for phrase in self._fillers[name] if phrase not in taken]
            self._bound[slot] = pick(self._rng, free)
        return self._bound[slot]
