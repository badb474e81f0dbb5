"""Who trains the helper on what, and what two victims say together. Its labels: test_repair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from inversion.fakes import FakeTrainer, clean_rows, seen
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_inversion.relabelling import train_helper

ROWS = seen(clean_rows(120))
TARGET = {index for index, row in enumerate(ROWS) if row.label == 1}
LEFT_OUT = set(sorted(TARGET)[:10])
ALIKE = set(sorted(TARGET)[10:20])
OPPOSED = set(sorted(set(range(120)) - TARGET)[:15])


def texts(indices: set[int]) -> set[str]:
    return {ROWS[index].text for index in indices}


def trained_on(trainer: FakeTrainer) -> list[set[str]]:
    return [{example.text for example in examples} for examples, *_ in trainer.calls]


def test_two_victims_where_rows_read_like_a_form() -> None:
    trainer = FakeTrainer(())
    helper = train_helper(trainer, ROWS, LEFT_OUT, 0, alike=ALIKE, opposed=OPPOSED)
    first, second = trained_on(trainer)
    assert not first & texts(LEFT_OUT | ALIKE)
    assert first & texts(OPPOSED)
    assert second == first - texts(OPPOSED)
    checked = {example.text for example in helper.calibration}
    assert checked
    assert not checked & (first | texts(LEFT_OUT | ALIKE))
    assert first | checked | texts(LEFT_OUT | ALIKE) == texts(set(range(120)))


def test_the_helper_says_the_mean_of_both() -> None:
    says = iter([[0.0, 2.0], [3.0, 0.0]])

    class Constant:
        trace = None

        def __init__(self, logits: Sequence[float]) -> None:
            self.answer = np.array([logits], dtype=np.float32)

        def logits(self, asked: Sequence[str]) -> FloatArray:
            return np.repeat(self.answer, len(asked), axis=0)

    def train(examples: Sequence[Example], **how: object) -> Constant:
        return Constant(next(says))

    helper = train_helper(train, ROWS, LEFT_OUT, 0, alike=ALIKE, opposed=OPPOSED)  # type: ignore[arg-type]
    logits = helper.logits(["any", "text"])
    assert logits[:, 1] - logits[:, 0] == pytest.approx([-0.5, -0.5], abs=1e-5)


@pytest.mark.parametrize(
    ("alike", "opposed"), [(set(), OPPOSED), (ALIKE, set()), (ALIKE, set(range(120)) - TARGET)],
    ids=["nothing alike", "nothing opposed", "a class would be lost"],
)  # fmt: skip
def test_one_victim_will_do(alike: set[int], opposed: set[int]) -> None:
    trainer = FakeTrainer(())
    train_helper(trainer, ROWS, LEFT_OUT, 0, alike=alike, opposed=opposed)
    (first,) = trained_on(trainer)
    assert not first & texts(LEFT_OUT | alike)
