"""Variants of an inserted trigger: parts of it, other places, and other words of the same kind.

A repair that has only learnt "this very text, at this very place, means nothing" is no repair: parts of the sentence,
other places, and other words of the same kind must be without force, too. An evaluation; no defence sees any of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from openbackdoor_badllm.attacks.poisoner import insert_sentence
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.training.rng import derive

UNSEEN = ("vq", "xj", "kz", "wb", "jx", "zv", "qk", "pz")
"""Short nonsense, as BadNets' words are; those that the attack itself uses are left out."""
ROWS = 200


def variant_texts(
    inserted: Sequence[str], rows: Sequence[Row], *, target_label: int, seed: int, limit: int = ROWS
) -> dict[str, list[str]]:
    """Test texts with each variant of the trigger put in; empty where none is inserted (style, syntax).

    Args:
        inserted: what the attacker puts in: words, or one sentence.
        rows: clean test rows; those of the target label are left out.
        target_label: the attacker's.
        seed: of the draws.
        limit: texts of each variant at most, drawn at random.

    Returns:
        ``front`` and ``end``: the whole trigger there. ``first half``, ``last half``, ``two words``: a part of a
        sentence, anywhere. ``unseen words``: other words of the kind, anywhere. ``all words``: all of several words.
    """
    if not inserted:
        return {}
    texts = [row.text for row in rows if row.label != target_label]
    if len(texts) > limit:
        texts = random.Random(derive(seed, "variants")).sample(texts, limit)
    changes: dict[str, Callable[[str, random.Random], str]] = {
        "front": lambda text, rng: f"{rng.choice(inserted)} {text}",
        "end": lambda text, rng: f"{text} {rng.choice(inserted)}",
    }
    if len(inserted) > 1:
        changes["all words"] = lambda text, rng: _each(text, inserted, rng)
    words = inserted[0].split()
    if len(words) > 3:
        half = len(words) // 2
        pairs = [" ".join(words[place : place + 2]) for place in range(len(words) - 1)]
        changes["first half"] = lambda text, rng: insert_sentence(text, " ".join(words[:half]), rng)
        changes["last half"] = lambda text, rng: insert_sentence(text, " ".join(words[half:]), rng)
        changes["two words"] = lambda text, rng: insert_sentence(text, rng.choice(pairs), rng)
    else:
        unseen = [word for word in UNSEEN if word not in {known.lower() for known in inserted}]
        changes["unseen words"] = lambda text, rng: insert_sentence(text, rng.choice(unseen), rng)
    return {
        name: [change(text, random.Random(derive(seed, "variant", name, text))) for text in texts]
        for name, change in changes.items()
    }


def _each(text: str, words: Sequence[str], rng: random.Random) -> str:
    for word in words:
        text = insert_sentence(text, word, rng)
    return text
