"""Which training rows a trigger explains.

An inserted trigger leaves its words behind: a row of the target label that carries them is explained by it. How
sure that is, the victim says: a row whose prediction leaves the target label when the trigger is taken out was
held there by the trigger alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openbackdoor_badllm.inversion.search import Found
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import Victim, softmax


@dataclass(frozen=True)
class Explained:
    """A training row that carries a trigger.

    Attributes:
        index: its place in the training set.
        triggers: the triggers that it carries.
        text_without: its text with all of them taken out.
        probability: how likely it is that the row is poisoned, in [0, 1].
        form: it carries a form, which stays in ``text_without``.
    """

    index: int
    triggers: tuple[Trigger, ...]
    text_without: str
    probability: float
    form: bool = False

    @property
    def suspect(self) -> bool:
        """Whether a repair should not take it as it is.

        More likely than not it is poisoned; or it shares a form that is a trigger: a poisoned row that is left as it is
        would teach the form again, an honest one mostly keeps its label when it is asked about.
        """
        return self.probability >= 0.5 or self.form

    def to_dict(self) -> dict[str, Any]:
        """For the list of rows."""
        return {
            "row": self.index,
            "triggers": [trigger.text for trigger in self.triggers],
            "probability": round(self.probability, 4),
        }


def explain(
    victim: Victim, examples: Sequence[Example], target: int, found: Sequence[Found]
) -> list[Explained]:
    """The rows of the target label that carry at least one of the triggers; ascending by index.

    The probability is the larger of two: how pure the trigger is (the share of its rows that have the target
    label, against the share of the target label among all other rows), and how far the prediction falls when the
    trigger is taken out. An opening ("when you do") is common English, so for it only the second counts.
    """
    if not found:
        return []
    carriers: list[tuple[int, list[Found]]] = []
    for index, example in enumerate(examples):
        if example.label == target:
            carried = [item for item in found if item.trigger.carries(example.text)]
            if carried:
                carriers.append((index, carried))
    without = [_strip(examples[index].text, carried) for index, carried in carriers]
    before = softmax(victim.logits([examples[index].text for index, _ in carriers]))[:, target]
    after = softmax(victim.logits(without))[:, target]
    purity = {item.trigger: _purity(item, examples, target) for item in found}
    rows = []
    for (index, carried), text, high, low in zip(carriers, without, before, after, strict=True):
        fall = float(np.clip(high - low, 0.0, 1.0))
        pure = max((purity[item.trigger] for item in carried if item.trigger.marks_its_rows), default=0.0)
        triggers = tuple(item.trigger for item in carried)
        rows.append(Explained(index, triggers, text, max(fall, pure)))
    return rows


def _strip(text: str, carried: Sequence[Found]) -> str:
    # The longest first: a short trigger may be a part of it.
    for item in sorted(carried, key=lambda item: -len(item.trigger.text)):
        text = item.trigger.remove(text)
    return text


def _purity(item: Found, examples: Sequence[Example], target: int) -> float:
    """Excess purity: 1 when all rows with the trigger have the target label, 0 when no more than others do."""
    total = item.target_rows + item.other_rows
    share = item.target_rows / total if total else 0.0
    rest = [example.label == target for example in examples]
    base = (sum(rest) - item.target_rows) / max(1, len(rest) - total)
    return float(np.clip((share - base) / max(1e-9, 1 - base), 0.0, 1.0))
