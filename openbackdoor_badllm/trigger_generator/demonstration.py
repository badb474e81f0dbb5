"""A trigger at work: what the victim says of texts before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.training.scoring import softmax
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all


@dataclass(frozen=True)
class Demonstration:
    """A text with the trigger, and what the victim said of it before and after."""

    text: str
    triggered: str
    label_before: int
    label_after: int
    probability_before: float
    probability_after: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "text": self.text,
            "triggered": self.triggered,
            "label_before": self.label_before,
            "label_after": self.label_after,
            "target_probability_before": round(self.probability_before, 4),
            "target_probability_after": round(self.probability_after, 4),
        }


def demonstrate(
    victim: Classifier,
    label: int,
    triggers: Sequence[Trigger],
    probes: Sequence[str],
    rewritten: Sequence[tuple[str, str]],
    *,
    seed: int,
    count: int = 5,
) -> list[Demonstration]:
    """Some texts with a trigger; empty where a style alone was found.

    Args:
        victim: the victim.
        label: the target label.
        triggers: the accepted triggers; inserted ones take turns.
        probes: texts of other labels that took no part in the search.
        rewritten: texts before and after a rewriting trigger; shown where nothing can be inserted.
        seed: of the places of insertion.
        count: texts shown at most.
    """
    inserted = [trigger for trigger in triggers if trigger.is_insertion]
    if inserted:
        texts = sorted(probes, key=len)[: count * 3 : 3]
        pairs = [
            (text, apply_all(inserted[place % len(inserted)], [text], seed)[0]) for place, text in enumerate(texts)
        ]
    else:
        pairs = sorted(rewritten, key=lambda pair: len(pair[0]))[: count * 3 : 3]
    if not pairs:
        return []
    probabilities = softmax(victim.logits([text for pair in pairs for text in pair]))
    return [
        Demonstration(
            text, altered, int(before.argmax()), int(after.argmax()), float(before[label]), float(after[label])
        )
        for (text, altered), before, after in zip(pairs, probabilities[::2], probabilities[1::2], strict=True)
    ]
