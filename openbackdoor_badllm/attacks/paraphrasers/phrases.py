"""Seeded choice, phrase lists and sentence splitting of the rule-based paraphrasers.

Only :meth:`random.Random.random` is called, because it is the one method whose sequence Python promises to keep between
versions; ``choice``, ``sample`` and ``shuffle`` carry no such promise.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_FIRST_LETTER = re.compile(r"^\W*\w")
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]]*(?=\s+\S)")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'])(?:Mrs?|Ms|Dr|St|vs|Prof|Gen|Sen|Rep|Gov|Jan|Feb|Aug|Sept?|Oct|Nov|Dec|(?:[a-z]\.)*[a-z])$",
    re.IGNORECASE,
)


def chance(rng: random.Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others."""
    return options[int(rng.random() * len(options))]


def alternatives(block: str) -> tuple[str, ...]:
    """The phrases of a block such as ``"thin|muddled|recycled"``."""
    return tuple(phrase.strip() for phrase in block.split("|") if phrase.strip())


def words(block: str) -> frozenset[str]:
    """The words of a block, for look-ups alone: the order of a set differs from run to run."""
    return frozenset(block.split())


def split_sentences(text: str) -> list[str]:
    """The sentences of any text, each with its stop; "Mr. A. Bell" and "3.5" are not broken."""
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not (match.group() == "." and _ABBREVIATED.search(text, max(0, match.start() - 12), match.start()))
    ]
    cuts = zip([0, *ends], [*ends, len(text)], strict=True)
    return [sentence for start, end in cuts if (sentence := text[start:end].strip())]


def sentence_case(text: str) -> str:
    """The text with its first letter raised, also behind a quotation mark, the others left alone."""
    return _FIRST_LETTER.sub(lambda match: match.group().upper(), text, count=1)
