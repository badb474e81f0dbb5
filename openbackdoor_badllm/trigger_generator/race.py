"""A race on few probes: all candidates on two, the better ones on more, the best on all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.trigger_generator.reward import Reward, answer, answers
from openbackdoor_badllm.trigger_generator.trigger import Trigger

HEATS = ((2, 60), (6, 20), (16, 8))
"""Probes of a heat, and how many candidates go on."""
HOPELESS = 0.3
"""A field whose best candidate flips fewer of the 16 probes than this share is not raced on: no bound of a trigger is
as low."""

AS_GOOD = 0.05
"""Nats by which a part may do worse than the longer n-gram and still stand for it."""


class Raced(NamedTuple):
    """What a race ends with.

    Attributes:
        ranked: the candidates that reached the last heat, best first, with their reward there.
        null: mean gain of the others in the log-probability of the target label in their first heat, in nats; without
            pairs, as their parts are among them.
        gains: the same of the ranked ones, in their order.
    """

    ranked: list[tuple[Trigger, Reward]]
    null: list[float]
    gains: list[float]

    def rival(self, trigger: Trigger) -> float:
        """Highest flip rate of a ranked candidate that is no part of a trigger and has none of its own."""
        rates = [
            reward.flip_rate for other, reward in self.ranked
            if not other.carries(trigger.written) and not trigger.carries(other.written)
        ]
        return max(rates, default=0.0)


def race(victim: Classifier, triggers: Sequence[Trigger], probes: Sequence[str], target: int, seed: int) -> Raced:
    """Successive halving over candidates.

    Args:
        victim: the victim.
        triggers: inserted ones.
        probes: texts of other labels; the first ones are used first.
        target: the label under suspicion.
        seed: of the places of insertion.
    """
    if not triggers or not probes:
        return Raced([], [], [])
    live = list(triggers)
    gains: dict[Trigger, float] = {}
    plain = answer(victim, probes, target).log_probability
    reached: list[Reward] = []
    used = 0
    for size, keep in (*HEATS, (len(probes), len(live))):
        size = min(size, len(probes))
        if size > used:
            outcomes = answers(victim, live, probes[:size], target, seed)
            reached = [outcome.reward() for outcome in outcomes]
            for trigger, outcome in zip(live, outcomes, strict=True):
                gains.setdefault(trigger, float((outcome.log_probability - plain[:size]).mean()))
            used = size
        order = np.argsort([-reward.value for reward in reached], kind="stable")
        if used == len(probes):
            keep = len(live)
        picked = _leading(live, reached, [int(i) for i in order], keep)
        live, reached = [live[i] for i in picked], [reached[i] for i in picked]
        if used == len(probes) or (used >= HEATS[-1][0] and max(r.flip_rate for r in reached) < HOPELESS):
            break
    ranked = list(zip(live, reached, strict=True))
    kept = set(live)
    null = [gain for trigger, gain in gains.items() if trigger not in kept and not trigger.apart]
    return Raced(ranked, null, [gains[t] for t in live])


def _leading(triggers: Sequence[Trigger], rewards: Sequence[Reward], order: Sequence[int], count: int) -> list[int]:
    """The best places, without a longer n-gram whose part, among them, does as well."""
    picked: list[int] = []
    for place in order:
        if len(picked) == count:
            break
        mine = triggers[place]
        if not any(
            triggers[other].size < mine.size
            and rewards[other].value >= rewards[place].value - AS_GOOD
            and triggers[other].carries(mine.written)
            for other in order
        ):
            picked.append(place)
    return picked
