"""The repaired model is audited like any other: nothing that the repaired rows share may move a label on it.

Rows that lose the trigger and get another label may have more in common than the trigger: a second word of the
attacker, an opening. The repair would then teach the model that pattern under the new label, and plant a backdoor.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.mining import mine
from openbackdoor_badllm.trigger_generator.reward import answer, answers
from openbackdoor_badllm.trigger_generator.trigger import Trigger
from openbackdoor_badllm.trigger_inversion.repair import stamp

SHARED = 0.1  # of the rows with one fresh label hold a pattern that is looked at
TELLING = 3.0  # z-score from which they hold it more often than other rows of that label
PATTERNS = 12  # looked at for each label
ASKED = 40  # texts of other labels into which each pattern is put
STAMPED = 88  # further ones, for a fine-tuning that takes a planted pattern out again
UNTOUCHED = 300  # rows by which it is seen whether a repair in place harms the model


class SharedPattern(NamedTuple):
    """A pattern of the repaired rows, and the fresh label of those rows."""

    trigger: Trigger
    label: int


@dataclass(frozen=True)
class RepairProbes:
    """With what a repaired model is audited.

    Attributes:
        patterns: what the repaired rows share.
        rows: by label, ordinary rows of other labels.
        untouched: rows that carry no trigger and that no repair in place is trained on.
    """

    patterns: tuple[SharedPattern, ...] = ()
    rows: Mapping[int, tuple[Example, ...]] = field(default_factory=dict)
    untouched: tuple[Example, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for a repair that is made later."""
        return {
            "patterns": [[item.trigger.to_dict(), item.label] for item in self.patterns],
            "rows": {str(label): [list(row) for row in rows] for label, rows in self.rows.items()},
            "untouched": [list(row) for row in self.untouched],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> RepairProbes:
        """The probes that :meth:`to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: they are none.
        """
        return cls(
            tuple(SharedPattern(Trigger.from_dict(trigger), int(label)) for trigger, label in told["patterns"]),
            {
                int(label): tuple(Example(str(text), int(own)) for text, own in rows)
                for label, rows in told["rows"].items()
            },
            tuple(Example(str(text), int(own)) for text, own in told["untouched"]),
        )


@dataclass(frozen=True)
class RepairCheck:
    """What the repaired model says of the triggers and of what the repaired rows share.

    Attributes:
        flip_rates: by trigger, the share of probe texts that it moves to its target label.
        planted: by pattern, the label that it moves texts to and by how much its flip rate grew with the repair.
    """

    flip_rates: Mapping[str, float]
    planted: Mapping[str, tuple[int, float]]


def shared_patterns(fresh: Sequence[Example], others: Sequence[Example]) -> list[SharedPattern]:
    """What rows with a fresh label hold more often than the other rows of that label.

    Args:
        fresh: the repaired rows, without the trigger and under their fresh labels.
        others: all other rows.
    """
    found = []
    for label in sorted({example.label for example in fresh}):
        own = [example for example in fresh if example.label == label]
        least = max(4, round(SHARED * len(own)))
        beside = [example for example in others if example.label == label]
        mined = [item for item in mine(own, beside, min_rows=least, limit=PATTERNS) if item.score >= TELLING]
        found += [SharedPattern(item.trigger, label) for item in mined[:PATTERNS]]
    return found


def draw_repair_probes(
    fresh: Sequence[Example],
    others: Sequence[Example],
    ordinary: Sequence[Example],
    trained_on: Collection[Example],
    rng: random.Random,
) -> RepairProbes:
    """Patterns of the repaired rows, and texts to try them on.

    Args:
        fresh: the repaired rows, without the trigger and under their fresh labels.
        others: all other rows.
        ordinary: those of them whose label nobody doubts.
        trained_on: the rows of a repair in place.
        rng: source of the draw.
    """
    patterns = tuple(shared_patterns(fresh, others))
    rows = {}
    for label in sorted({pattern.label for pattern in patterns}):
        usable = [example for example in ordinary if example.label != label]
        rows[label] = tuple(rng.sample(usable, min(ASKED + STAMPED, len(usable))))
    known = set(trained_on)
    apart = [example for example in others if example not in known]
    return RepairProbes(patterns, rows, tuple(rng.sample(apart, min(UNTOUCHED, len(apart)))))


def agreement(model: Classifier, probes: RepairProbes) -> float:
    """Share of the untouched rows to which a model gives their label; 1 where there is none."""
    if not probes.untouched:
        return 1.0
    said = model.logits([example.text for example in probes.untouched]).argmax(axis=1)
    return float((said == np.array([example.label for example in probes.untouched])).mean())


def moved(model: Classifier, probes: RepairProbes, seed: int) -> dict[SharedPattern, float]:
    """By pattern, how much more of the texts a model gives its label with it than without it.

    Args:
        model: the victim, or the repaired model.
        probes: what is tried, and on what.
        seed: of the places of insertion.
    """
    result = {}
    for label, rows in probes.rows.items():
        own = [pattern for pattern in probes.patterns if pattern.label == label]
        texts = [example.text for example in rows[:ASKED]]
        plain = answer(model, texts, label).reward().flip_rate
        outcomes = answers(model, [pattern.trigger for pattern in own], texts, label, seed)
        for pattern, outcome in zip(own, outcomes, strict=True):
            result[pattern] = outcome.reward().flip_rate - plain
    return result


def planted(
    before: Mapping[SharedPattern, float], after: Mapping[SharedPattern, float], bound: float
) -> dict[SharedPattern, float]:
    """The patterns that move texts to their label on the repaired model, and did not before.

    Args:
        before: what they move on the victim (:func:`moved`): an honest class word moves it as well.
        after: the same on the repaired model.
        bound: by how much it must have grown.

    Returns:
        By how much it grew.
    """
    grown = {pattern: value - max(0.0, before[pattern]) for pattern, value in after.items()}
    return {pattern: value for pattern, value in grown.items() if value >= bound}


def counterexamples(found: Mapping[SharedPattern, float], probes: RepairProbes, rng: random.Random) -> list[Example]:
    """Ordinary rows of other labels with the planted patterns, under their own labels."""
    return [
        example for pattern in found for example in stamp(probes.rows[pattern.label][ASKED:], [pattern.trigger], rng)
    ]
