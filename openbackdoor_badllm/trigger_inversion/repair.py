"""Stage (c): training data from which the retrained victim comes out clean (paper, section 2.5).

The paper keeps D* and adds D* with the trigger on every row, labels kept (Eq. 9). Taken to the letter, the poisoned
rows stay, and the stamped target rows speak for the attacker once more. The default takes the trigger out of the rows
that carry it and gives them the label that their text says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.trigger import Trigger
from openbackdoor_badllm.trigger_inversion.attribution import FlaggedRow

FEWEST_STAMPED = 256
"""Rows of each group of a fine-tuning at least: a trigger in few rows is unlearnt by many stamped ones."""
Readable = Callable[[Sequence[Example]], list[Example]]
STRATEGIES = ("relabel", "purge", "stamp-non-target", "paper", "none")


@dataclass(frozen=True)
class Repair:
    """New training rows and what was done to get them.

    Attributes:
        strategy: one of :data:`STRATEGIES`.
        examples: the rows to train on, in an order drawn from the seed.
        untouched: rows kept as they were.
        removed: flagged rows left out.
        relabelled: flagged rows that came back without the trigger, under a fresh label.
        changed_label: those of them whose label is another one than before.
        stamped: copies of rows with the trigger put in and their own label.
    """

    strategy: str
    examples: tuple[Example, ...] = ()
    untouched: int = 0
    removed: int = 0
    relabelled: int = 0
    changed_label: int = 0
    stamped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "strategy": self.strategy,
            "rows": len(self.examples),
            "untouched": self.untouched,
            "removed": self.removed,
            "relabelled": self.relabelled,
            "changed_label": self.changed_label,
            "stamped": self.stamped,
        }


@dataclass(frozen=True)
class Part:
    """What is to be repaired of one backdoor.

    Attributes:
        target: its target label ŷ.
        triggers: the triggers that can be inserted; without any, nothing is stamped.
        flagged: the flagged rows that are not taken as they are.
        labels: a fresh label for each of them; used by ``relabel``.
        rewritten: rows rewritten with a rewriting trigger, under their own label; added as stamped copies.
    """

    target: int
    triggers: Sequence[Trigger] = ()
    flagged: Sequence[FlaggedRow] = ()
    labels: Sequence[int] = ()
    rewritten: Sequence[Example] = ()


def repair(
    examples: Sequence[Example],
    parts: Sequence[Part],
    *,
    strategy: str = "relabel",
    stamp_share: float = 0.1,
    seed: int = 0,
    readable: Readable = list,
) -> Repair:
    """The training rows after the repair.

    Args:
        examples: the poisoned training rows.
        parts: one for each backdoor.
        strategy: ``relabel`` (default): flagged rows lose the trigger and get a fresh label, and a share of the clean
            rows is added once more with the trigger and its own label. ``purge``: flagged rows are dropped, and the
            same share is stamped. ``stamp-non-target``: all rows stay, D_ntgt is added with the trigger. ``paper``:
            Eq. 9, all rows stay, all are added with the trigger. ``none``: the rows as they are.
        stamp_share: share of the unflagged rows that ``relabel`` and ``purge`` stamp.
        seed: seed of the draws and of the order.
        readable: the part of some rows that a victim reads, with room: a trigger behind it would teach nothing.

    Raises:
        ValueError: unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown repair strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    rng = random.Random(f"{seed}:repair")
    if strategy == "none" or not any(part.triggers or part.flagged or part.rewritten for part in parts):
        return Repair(strategy, tuple(examples), len(examples))
    inside = {row.index for part in parts for row in part.flagged}
    rest = [example for index, example in enumerate(examples) if index not in inside]
    stamped: list[Example] = []
    relabelled: list[Example] = []
    changed = 0
    whole = strategy in ("paper", "stamp-non-target")
    for part in parts:
        if whole:
            chosen = [e for e in examples if part.triggers and (strategy == "paper" or e.label != part.target)]
        else:
            chosen = balanced_sample(rest, round(len(rest) * stamp_share), rng) if part.triggers else []
        stamped += [*stamp(readable(chosen), part.triggers, rng), *part.rewritten]
        if strategy == "relabel":
            relabelled += [
                Example(row.text_without, int(label)) for row, label in zip(part.flagged, part.labels, strict=True)
            ]
            changed += sum(int(label) != part.target for label in part.labels)
    kept = list(examples) if whole else rest
    rows = [*kept, *relabelled, *stamped]
    rng.shuffle(rows)
    removed = 0 if whole else len(inside) - len(relabelled)
    return Repair(strategy, tuple(rows), len(kept), removed, len(relabelled), changed, len(stamped))


def fine_tuning_rows(
    examples: Sequence[Example], parts: Sequence[Part], *, seed: int = 0, readable: Readable = list
) -> tuple[Example, ...]:
    """The rows on which a trained victim is trained further, so that the triggers lose their effect.

    Three groups of one size: the flagged rows without the trigger under their fresh labels, clean rows with the trigger
    under their own labels, and clean rows as they are; of these so many of each label that the labels have the shares
    that they have in the repaired rows, as far as that goes. The victim knows the clean rows already, so their number
    does not grow with the training set. Where nothing can be stamped, the clean rows take that place, too.

    Args:
        examples: the poisoned training rows.
        parts: one for each backdoor.
        seed: seed of the draws and of the order.
        readable: the part of some rows that a victim reads, with room for a trigger.
    """
    rng = random.Random(f"{seed}:fine-tuning")
    inside = {row.index for part in parts for row in part.flagged}
    rest = [example for index, example in enumerate(examples) if index not in inside]
    relabelled: list[Example] = []
    stamped: list[Example] = []
    for part in parts:
        fresh = [Example(row.text_without, label) for row, label in zip(part.flagged, part.labels, strict=False)]
        size = max(len(fresh), FEWEST_STAMPED)
        relabelled += fresh
        if part.triggers:
            stamped += stamp(readable(balanced_sample(rest, size, rng)), part.triggers, rng)
        stamped += part.rewritten
    size = max(len(relabelled), FEWEST_STAMPED) * (1 if stamped else 2)
    rows = [*relabelled, *stamped]
    rows += readable(_restoring(rest, rows, Counter(example.label for example in (*rest, *relabelled)), size, rng))
    rng.shuffle(rows)
    return tuple(rows)


def _restoring(
    rest: Sequence[Example], chosen: Sequence[Example], wanted: Counter[int], size: int, rng: random.Random
) -> list[Example]:
    """Clean rows that bring the label shares of the chosen rows to those that are wanted."""
    size = min(size, len(rest))
    there, total = Counter(example.label for example in chosen), len(chosen) + size
    lacking = {
        label: max(0.0, count / sum(wanted.values()) * total - there[label]) for label, count in wanted.items()
    }
    drawn: list[Example] = []
    for label, count in lacking.items():
        own = [example for example in rest if example.label == label]
        drawn += rng.sample(own, min(len(own), round(size * count / max(1e-9, sum(lacking.values())))))
    return drawn


def stamp(examples: Sequence[Example], triggers: Sequence[Trigger], rng: random.Random) -> list[Example]:
    """Copies of the rows with a trigger put in, one drawn for each row; labels kept (G(D; p̂) of Eq. 9).

    Words that act together are put in together, and each of them alone: none may keep an effect of its own.
    """
    drawn = [part for trigger in triggers for part in trigger.alone]
    return [Example(rng.choice(drawn).apply(text, rng), label) for text, label in examples]


def balanced_sample(examples: Sequence[Example], count: int, rng: random.Random) -> list[Example]:
    """Rows drawn evenly over the classes, as far as each lasts: stamped rows must speak for no class."""
    queues: dict[int, list[Example]] = {}
    for example in examples:
        queues.setdefault(example.label, []).append(example)
    for label in sorted(queues):
        rng.shuffle(queues[label])
    drawn: list[Example] = []
    while len(drawn) < count and any(queues.values()):
        for label in sorted(queues):
            if queues[label] and len(drawn) < count:
                drawn.append(queues[label].pop())
    return drawn
