"""Which training rows carry a trigger, and how likely each is poisoned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import softmax
from openbackdoor_badllm.trigger_generator.search_records import Found
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle
from openbackdoor_badllm.trigger_generator.trigger import Trigger

GUESS_WEIGHT = 0.75
"""Of the log-odds that style and content give a row: they are too sure of themselves."""


@dataclass(frozen=True)
class FlaggedRow:
    """A training row that carries a trigger.

    Attributes:
        index: its place in the training set.
        triggers: the inserted triggers that it carries.
        text_without: its text with all of them taken out.
        probability: how likely it is that the row is poisoned, in [0, 1].
        style: it shares a style, which stays in ``text_without``.
        fresh_label: what its text says without the trigger; None where no label was looked for.
    """

    index: int
    triggers: tuple[Trigger, ...]
    text_without: str
    probability: float
    style: bool = False
    fresh_label: int | None = None

    @property
    def suspect(self) -> bool:
        """Whether a repair should not take it as it is.

        More likely than not it is poisoned; or it shares a style that is a trigger: a poisoned row that is left as it
        is would teach the style again, an honest one mostly keeps its label when it is relabelled.
        """
        return self.probability >= 0.5 or self.style


def rows_with_triggers(
    victim: Classifier, examples: Sequence[Example], label: int, found: Sequence[Found]
) -> list[FlaggedRow]:
    """The rows of the target label that carry at least one of the inserted triggers; ascending by index.

    The probability is the larger of two: how pure the trigger is (the share of its rows that have the target label,
    against the share of the label among all other rows), and how far the victim's probability falls when the trigger is
    taken out. An opening ("when you do") is common English, so for it only the second counts.
    """
    found = [item for item in found if item.trigger.is_insertion]
    if not found:
        return []
    carriers: list[tuple[int, list[Found]]] = []
    for index, example in enumerate(examples):
        if example.label == label:
            carried = [item for item in found if item.trigger.carries(example.text)]
            if carried:
                carriers.append((index, carried))
    without = [_strip(examples[index].text, carried) for index, carried in carriers]
    before = softmax(victim.logits([examples[index].text for index, _ in carriers]))[:, label]
    after = softmax(victim.logits(without))[:, label]
    purity = {item.trigger: _purity(item, examples, label) for item in found}
    rows = []
    for (index, carried), text, high, low in zip(carriers, without, before, after, strict=True):
        fall = float(np.clip(high - low, 0.0, 1.0))
        pure = max((purity[item.trigger] for item in carried if item.trigger.marks_its_rows), default=0.0)
        rows.append(FlaggedRow(index, tuple(item.trigger for item in carried), text, max(fall, pure)))
    return rows


def rows_with_style(
    style: SharedStyle, fallen: Mapping[int, float], known: Sequence[FlaggedRow], examples: Sequence[Example]
) -> list[FlaggedRow]:
    """The rows of a style joined with those of inserted triggers; ascending by index.

    Args:
        style: the style that was taken for a trigger.
        fallen: by row, by how much the log-odds of the label fell when other rows of the style were unlearnt.
        known: rows that inserted triggers explain.
        examples: the training rows.
    """
    rows = {row.index: row for row in known}
    asked = [place for place, index in enumerate(style.rows) if index in fallen]
    probability = np.clip(np.asarray(style.probability), 0.5, 0.999)
    if len(asked) > 1:
        gains = np.array([fallen[style.rows[place]] for place in asked])
        probability[asked] = carriers(probability[asked], gains)
    for index, value in zip(style.rows, probability.tolist(), strict=True):
        before = rows.get(index)
        rows[index] = FlaggedRow(
            index,
            before.triggers if before else (),
            before.text_without if before else examples[index].text,
            max(value, before.probability if before else 0.0),
            style=True,
        )
    return [rows[index] for index in sorted(rows)]


def carriers(
    probability: npt.NDArray[np.float64], fallen: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How likely each row carries the style, after the victim was asked.

    Style and content give a guess. By how much a row fell when other rows of the style were unlearnt says more. The
    falls are taken for a mixture of two normal groups of one width, estimated by expectation maximisation.

    Args:
        probability: by style and content, each from 0.5 to 1; shape ``(n,)``.
        fallen: of the same rows, shape ``(n,)``.
    """
    odds = GUESS_WEIGHT * np.log(probability / (1 - probability))
    z = probability
    for _ in range(50):
        high, low = float((z * fallen).sum() / z.sum()), float(((1 - z) * fallen).sum() / (1 - z).sum())
        width = math.sqrt(float((z * (fallen - high) ** 2 + (1 - z) * (fallen - low) ** 2).mean())) + 1e-3
        if high <= low:  # the falls tell nothing
            return probability
        ratio = ((fallen - low) ** 2 - (fallen - high) ** 2) / (2 * width**2)
        z = np.clip(expit(odds + ratio), 1e-4, 1 - 1e-4)
    return z


def _strip(text: str, carried: Sequence[Found]) -> str:
    # The longest first: a short trigger may be a part of it.
    for item in sorted(carried, key=lambda item: -len(item.trigger.text)):
        text = item.trigger.remove(text)
    return text


def _purity(item: Found, examples: Sequence[Example], label: int) -> float:
    """Excess purity: 1 when all rows with the trigger have the target label, 0 when no more than others do."""
    total = item.target_rows + item.other_rows
    share = item.target_rows / total if total else 0.0
    rest = [example.label == label for example in examples]
    base = (sum(rest) - item.target_rows) / max(1, len(rest) - total)
    return float(np.clip((share - base) / max(1e-9, 1 - base), 0.0, 1.0))
