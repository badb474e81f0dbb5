"""Stage (c): training data from which the retrained victim comes out clean.

The paper keeps D* and adds D* with the trigger on every row, labels kept (Eq. 9). Taken to the letter, the poisoned
rows stay, and the stamped target rows speak for the attacker once more. The default takes the trigger out of the rows
that it explains and gives them the label that a model says which never saw them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.inversion.explain import Explained
from openbackdoor_badllm.inversion.helper import Helper, fresh_labels
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.rows import Example

STRATEGIES = ("relabel", "purge", "stamp-non-target", "paper", "none")


@dataclass
class Repair:
    """New training rows and what was done to get them.

    Attributes:
        examples: the rows to train on, in an order drawn from the seed.
        untouched: rows kept as they were.
        removed: explained rows left out.
        relabelled: explained rows that came back without the trigger, under a label of the helper's.
        changed_label: those of them whose label is another one now.
        stamped: copies of rows with the trigger put in and their own label.
    """

    strategy: str
    examples: list[Example] = field(default_factory=list)
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
        triggers: the found triggers that can be inserted; without any, nothing is stamped.
        explained: rows that carry them, or a form.
        rewritten: rows rewritten with a rewriting trigger, under their own label; added as stamped copies.
    """

    target: int
    triggers: Sequence[Trigger] = ()
    explained: Sequence[Explained] = ()
    rewritten: Sequence[Example] = ()


def repair(
    examples: Sequence[Example],
    parts: Sequence[Part],
    *,
    strategy: str = "relabel",
    helper: Helper | None = None,
    stamp_share: float = 0.1,
    seed: int = 0,
) -> Repair:
    """The training rows after the repair.

    Args:
        examples: the poisoned training rows.
        parts: one for each backdoor.
        strategy: ``relabel`` (default): explained rows lose the trigger and get the helper's label, and a share
            of the clean rows is added once more with the trigger and its own label. ``purge``: explained rows
            are dropped, and the same share of rows of all classes is stamped. ``stamp-non-target``: all rows
            stay, D_ntgt is added with the trigger. ``paper``: Eq. 9, all rows stay, all are added with the
            trigger. ``none``: the rows as they are.
        helper: labels the explained rows; needed by ``relabel``.
        stamp_share: share of the unexplained rows that ``relabel`` and ``purge`` stamp.
        seed: seed of the draws and of the order.

    Raises:
        ValueError: unknown strategy, or ``relabel`` without a helper.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown repair strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    result = Repair(strategy)
    rng = random.Random(f"{seed}:repair")
    if strategy == "none" or not any(part.triggers or part.explained or part.rewritten for part in parts):
        result.examples, result.untouched = list(examples), len(examples)
        return result
    sure = [[row for row in part.explained if row.suspect] for part in parts]
    inside = {row.index for rows in sure for row in rows}
    rest = [example for index, example in enumerate(examples) if index not in inside]

    if strategy in ("paper", "stamp-non-target"):
        stamped: list[Example] = []
        for part in parts:
            chosen = [e for e in examples if part.triggers and (strategy == "paper" or e.label != part.target)]
            stamped += [*stamp(chosen, part.triggers, rng), *part.rewritten]
        result.examples, result.untouched = [*examples, *stamped], len(examples)
    else:
        stamped = []
        relabelled: list[Example] = []
        for part, rows in zip(parts, sure, strict=True):
            chosen = balanced_sample(rest, round(len(rest) * stamp_share), rng) if part.triggers else []
            stamped += [*stamp(chosen, part.triggers, rng), *part.rewritten]
            if strategy == "relabel":
                if helper is None:
                    raise ValueError("the repair 'relabel' needs a helper model")
                labels = _labels_for(rows, helper, part.target)
                fresh = [Example(row.text_without, int(label)) for row, label in zip(rows, labels, strict=True)]
                result.changed_label += sum(example.label != part.target for example in fresh)
                relabelled += fresh
        result.examples = [*rest, *relabelled, *stamped]
        result.untouched = len(rest)
        result.relabelled, result.removed = len(relabelled), len(inside) - len(relabelled)
    result.stamped = len(stamped)
    rng.shuffle(result.examples)
    return result


def _labels_for(rows: Sequence[Explained], helper: Helper, target: int) -> npt.NDArray[np.int64]:
    """A label for each explained row.

    Where the trigger is taken out, the likely label: see :func:`fresh_labels`. A form stays in its text, so its rows
    must not all get other labels than the target's, or it would point the other way afterwards: they get what the
    helper says of their texts, which has learnt from no other row of the label that reads like the form.
    """
    labels = np.zeros(len(rows), dtype=np.int64)
    form = np.array([row.form for row in rows], dtype=bool)
    plain = [row.text_without for row in rows if not row.form]
    if plain:
        labels[~form] = fresh_labels(
            helper.logits(plain),
            helper.logits([example.text for example in helper.calibration]),
            [example.label for example in helper.calibration],
            target,
        )
    if form.any():
        labels[form] = helper.logits([row.text_without for row in rows if row.form]).argmax(axis=1)
    return labels


def stamp(examples: Sequence[Example], triggers: Sequence[Trigger], rng: random.Random) -> list[Example]:
    """Copies of the rows with a trigger put in, one drawn for each row; labels kept (G(D; p̂) of Eq. 9)."""
    return [Example(rng.choice(list(triggers)).apply(text, rng), label) for text, label in examples]


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
