"""Texts in which a victim sees an insertion wherever it goes: a trigger behind what it reads does nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openbackdoor_badllm.protocols import Classifier, Limited
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.reward import answer


def with_room(
    victim: Classifier, texts: Sequence[str], labels: Sequence[int], target: int, wanted: int, rng: random.Random
) -> tuple[list[str], list[int]]:
    """Texts to draw probes from, with their labels; those that leave room for a trigger are taken as they are.

    Where too few of a label do, the beginnings of longer ones are taken, if the victim does not call them the target.

    Args:
        victim: texts come back as they are where it is not :class:`..protocols.Limited`.
        texts: of other labels than the target's.
        labels: their labels.
        target: the label under suspicion.
        wanted: probes that will be drawn, evenly over the labels.
        rng: of the draw of long texts.
    """
    if not isinstance(victim, Limited):
        return list(texts), list(labels)
    parts = victim.readable(texts)
    whole = [part == text for part, text in zip(parts, texts, strict=True)]
    chosen = [place for place, fits in enumerate(whole) if fits]
    cut: list[int] = []
    present = sorted(set(labels))
    for label in present:
        own = [place for place, other in enumerate(labels) if other == label]
        missing = -(-2 * wanted // len(present)) - sum(whole[place] for place in own)
        long = [place for place in own if not whole[place]]
        cut += rng.sample(long, min(max(0, missing), len(long)))
    flipped = answer(victim, [parts[place] for place in cut], target).flipped
    chosen += [place for place, flip in zip(cut, flipped, strict=True) if not flip]
    return [parts[place] for place in chosen], [labels[place] for place in chosen]


def readable_rows(victim: Classifier, examples: Sequence[Example]) -> list[Example]:
    """The rows as far as the victim reads them, so that a trigger that is put into one is seen."""
    if not isinstance(victim, Limited):
        return list(examples)
    parts = victim.readable([example.text for example in examples])
    return [Example(part, example.label) for part, example in zip(parts, examples, strict=True)]
