"""The victim's answer to a trigger: the reward that steers the search.

The paper calls a cross-entropy toward the target label its reward and then maximises it; a cross-entropy must be
minimised. Here the reward is ``-CE(M(τ(x)), ŷ)``, and the flip rate is reported beside it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.training.scoring import FloatArray, log_softmax
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all


class Reward(NamedTuple):
    """How well the victim predicts the target label on a batch of altered texts."""

    value: float
    """Mean of -CE toward the target label, in nats; 0 is the best."""
    flip_rate: float
    """Share of the texts whose prediction is the target label."""
    texts: int
    """Number of texts."""

    def to_dict(self) -> dict[str, float | int]:
        """For ``results.json``."""
        return {"reward": round(self.value, 4), "flip_rate": round(self.flip_rate, 4), "texts": self.texts}


class Outcome(NamedTuple):
    """Per-text answers, both of shape ``(n,)``."""

    log_probability: FloatArray
    flipped: npt.NDArray[np.bool_]

    def reward(self) -> Reward:
        """Their mean."""
        if not len(self.flipped):
            return Reward(float("-inf"), 0.0, 0)
        return Reward(float(self.log_probability.mean()), float(self.flipped.mean()), len(self.flipped))


def answer(victim: Classifier, texts: Sequence[str], target: int) -> Outcome:
    """The victim's log-probability of the target label, and whether it is the prediction, for each text."""
    logits = victim.logits(texts)
    if not len(logits):
        return Outcome(np.zeros(0, dtype=np.float32), np.zeros(0, dtype=bool))
    return Outcome(log_softmax(logits)[:, target], logits.argmax(axis=1) == target)


def answers(
    victim: Classifier, triggers: Sequence[Trigger], texts: Sequence[str], target: int, seed: int
) -> list[Outcome]:
    """One :class:`Outcome` for each trigger, from a single length-sorted pass over all altered texts."""
    altered = [text for trigger in triggers for text in apply_all(trigger, texts, seed)]
    whole = answer(victim, altered, target)
    size = len(texts)
    return [
        Outcome(whole.log_probability[k * size : (k + 1) * size], whole.flipped[k * size : (k + 1) * size])
        for k in range(len(triggers))
    ]


@dataclass(frozen=True)
class Probes:
    """Three disjoint sets of non-target texts that the victim does not call the target by itself.

    Candidates are ranked on ``search``, accepted on ``select``, and what is reported comes from ``report``, which
    took no part in the choice.
    """

    search: tuple[str, ...]
    select: tuple[str, ...]
    report: tuple[str, ...]


def draw_probes(texts: Sequence[str], labels: Sequence[int], *, size: int, rng: random.Random) -> Probes:
    """Draws the probe texts, evenly over the classes.

    Args:
        texts: ordinary rows of other labels than the target's: the victim and the content reference give them their
            own label, so that a flip is the trigger's doing.
        labels: their labels.
        size: texts of each of the three sets; fewer where the rows do not suffice.
        rng: source of the draw.
    """
    by_label: dict[int, list[str]] = {}
    for text, label in zip(texts, labels, strict=True):
        if text.strip():
            by_label.setdefault(label, []).append(text)
    queues = []
    for label in sorted(by_label):
        queue = sorted(set(by_label[label]))
        rng.shuffle(queue)
        queues.append(queue)
    mixed = [queue[k] for k in range(max(map(len, queues), default=0)) for queue in queues if k < len(queue)]
    usable = list(dict.fromkeys(mixed))[: size * 3]  # a text may stand under two labels
    size = min(size, len(usable) // 3)
    return Probes(tuple(usable[:size]), tuple(usable[size : 2 * size]), tuple(usable[2 * size : 3 * size]))


def flip_rates(
    victim: Classifier, target: int, triggers: Sequence[Trigger], probes: Sequence[str], seed: int
) -> dict[str, float]:
    """Flip rate of each inserted trigger on a model, such as a repaired one, by the trigger as it is written.

    Of words that act together each is tried alone, too.

    Args:
        victim: the model; texts that it calls the target without any trigger do not count.
        target: the target label.
        triggers: those that rewrite are left out.
        probes: texts of other labels.
        seed: of the places of insertion.
    """
    calm = [text for text, flip in zip(probes, answer(victim, probes, target).flipped, strict=True) if not flip]
    if not calm:
        return {}
    inserted = list(dict.fromkeys(part for trigger in triggers if trigger.is_insertion for part in trigger.alone))
    return {
        trigger.written: outcome.reward().flip_rate
        for trigger, outcome in zip(inserted, answers(victim, inserted, calm, target, seed), strict=True)
    }
