"""Stage (c): training data from which the retrained victim comes out clean.

The paper keeps D* and adds D* with the trigger on every row, labels kept (Eq. 9). Taken to the letter that leaves
most of the backdoor: the poisoned rows stay, and the stamped target rows speak for the attacker once more
(docs/differences.md has the measurements). The default takes the trigger out of the rows that it explains and gives
them the label that a model says which never saw them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.engine.scoring import FloatArray
from openbackdoor_badllm.inversion.explain import Explained
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.rows import Example

STRATEGIES = ("relabel", "purge", "stamp-non-target", "paper", "none")

Helper = Callable[[Sequence[str]], FloatArray]
"""Texts in, probabilities (n, num_labels) out, by a model that never saw the explained rows."""


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


def repair(
    examples: Sequence[Example],
    target: int,
    triggers: Sequence[Trigger],
    explained: Sequence[Explained],
    *,
    strategy: str = "relabel",
    helper: Helper | None = None,
    stamp_share: float = 0.1,
    threshold: float = 0.5,
    seed: int = 0,
) -> Repair:
    """The training rows after the repair.

    Args:
        examples: the poisoned training rows.
        target: the target label ŷ.
        triggers: the found triggers that can be inserted; without any, nothing is stamped.
        explained: rows that carry them.
        strategy: ``relabel`` (default): explained rows lose the trigger and get the helper's label, and a share
            of the clean rows is added once more with the trigger and its own label. ``purge``: explained rows
            are dropped, and the same share of rows of all classes is stamped. ``stamp-non-target``: all rows
            stay, D_ntgt is added with the trigger. ``paper``: Eq. 9, all rows stay, all are added with the
            trigger. ``none``: the rows as they are.
        helper: labels the explained rows; needed by ``relabel``.
        stamp_share: share of the unexplained rows that ``relabel`` and ``purge`` stamp.
        threshold: rows explained with at least this probability count as explained.
        seed: seed of the draws and of the order.

    Raises:
        ValueError: unknown strategy, or ``relabel`` without a helper.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown repair strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    result = Repair(strategy)
    rng = random.Random(f"{seed}:repair")
    if strategy == "none" or not (triggers or explained):
        result.examples, result.untouched = list(examples), len(examples)
        return result
    sure = [row for row in explained if row.probability >= threshold]
    inside = {row.index for row in sure}
    rest = [example for index, example in enumerate(examples) if index not in inside]

    if strategy in ("paper", "stamp-non-target"):
        chosen = [e for e in examples if triggers and (strategy == "paper" or e.label != target)]
        result.examples = [*examples, *stamp(chosen, triggers, rng)]
        result.untouched, result.stamped = len(examples), len(chosen)
    else:
        chosen = rng.sample(rest, round(len(rest) * stamp_share)) if triggers else []
        stamped = stamp(chosen, triggers, rng)
        relabelled: list[Example] = []
        if strategy == "relabel":
            if helper is None:
                raise ValueError("the repair 'relabel' needs a helper model")
            texts = [row.text_without for row in sure]
            labels = fresh_labels(helper(texts), [example.label for example in rest])
            relabelled = [Example(text, int(label)) for text, label in zip(texts, labels, strict=True)]
            result.changed_label = sum(example.label != target for example in relabelled)
        result.examples = [*rest, *relabelled, *stamped]
        result.untouched, result.stamped = len(rest), len(stamped)
        result.relabelled, result.removed = len(relabelled), len(sure) - len(relabelled)
    rng.shuffle(result.examples)
    return result


def stamp(examples: Sequence[Example], triggers: Sequence[Trigger], rng: random.Random) -> list[Example]:
    """Copies of the rows with a trigger put in, one drawn for each row; labels kept (G(D; p̂) of Eq. 9)."""
    return [Example(rng.choice(list(triggers)).apply(text, rng), label) for text, label in examples]


def fresh_labels(
    probabilities: FloatArray, known_labels: Sequence[int], rounds: int = 50
) -> npt.NDArray[np.int64]:
    """Labels for the explained rows, given what the helper says of them.

    The explained rows do not have the class shares that the helper was trained on: under dirty poisoning none of
    them is of the target class. The shares are estimated from the helper's own answers by expectation
    maximisation (Saerens, Latinne & Decaestecker 2002), and its answers are corrected by them.

    Args:
        probabilities: shape ``(n, num_labels)``.
        known_labels: the labels that the helper was trained on; the helper is taken to be trained balanced over
            the classes that occur there.
        rounds: EM iterations.

    Returns:
        Class indices, shape ``(n,)``.
    """
    if not len(probabilities):
        return np.zeros(0, dtype=np.int64)
    count = probabilities.shape[1]
    present = np.isin(np.arange(count), np.unique(np.asarray(known_labels)))
    old = np.where(present, 1.0 / max(1, present.sum()), 0.0)
    prior = old.copy()
    posterior = probabilities.astype(np.float64)
    for _ in range(rounds):
        ratio = np.divide(prior, old, out=np.zeros(count), where=old > 0)
        weighted = probabilities * ratio
        posterior = weighted / np.maximum(weighted.sum(axis=1, keepdims=True), 1e-12)
        prior = posterior.mean(axis=0)
    labels: npt.NDArray[np.int64] = posterior.argmax(axis=1).astype(np.int64)
    return labels
