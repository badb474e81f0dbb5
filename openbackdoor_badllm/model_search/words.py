"""The words that are tried: those of a tokenizer's vocabulary, and those of the given texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from openbackdoor_badllm.trigger_generator.units import units


def vocabulary(tokenizer: Any) -> dict[str, int]:
    """The words that a tokenizer knows as one token after a blank, each with that token.

    Pieces of words, special tokens and signs that cannot be printed are left out: nobody inserts them.
    """
    special = set(tokenizer.all_special_ids)
    ids = [number for number in range(len(tokenizer)) if number not in special]
    written = [text.strip() for text in tokenizer.batch_decode([[number] for number in ids])]
    some = [
        (text, number) for text, number in zip(written, ids, strict=True)
        if text and text.isprintable() and "\ufffd" not in text and len(units(text)) == 1
    ]
    if not some:
        return {}
    again = tokenizer([f" {text}" for text, _ in some], add_special_tokens=False)["input_ids"]
    found: dict[str, int] = {}
    for (text, number), encoded in zip(some, again, strict=True):
        if encoded == [number]:
            found.setdefault(text, number)
    return found


def words_to_try(texts: Sequence[str], known: Sequence[str], most: int, seed: int) -> list[str]:
    """The words of the texts, the most frequent first, then the known ones; a sample of these where there are more.

    Args:
        texts: the given texts.
        known: words of a vocabulary.
        most: how many words.
        seed: of the sample.
    """
    counts = Counter(word for text in texts for word in set(units(text)))
    own = [word for word, _ in counts.most_common(most)]
    held = set(own)
    rest = [word for word in known if word not in held]
    left = most - len(own)
    if len(rest) > left:
        rest = random.Random(f"{seed}/words").sample(rest, max(0, left))
    return own + rest
