"""A given model is compared with its own rows before anything is searched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from openbackdoor_badllm.data.dataset import DatasetInfo
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.evaluation.given_model import check_given_model
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray


class Says:
    """Answers by a table: for each label its outputs take turns."""

    def __init__(self, outputs: Sequence[Sequence[int]], count: int) -> None:
        self.outputs, self.count = outputs, count

    def logits(self, texts: Sequence[str]) -> FloatArray:
        numbers = [text.split() for text in texts]
        said = [self.outputs[int(label)][int(turn) % len(self.outputs[int(label)])] for label, turn in numbers]
        return np.eye(self.count, dtype=np.float32)[said]


def check(outputs: Sequence[Sequence[int]], names: Sequence[str], index: dict[str, int], rows: Sequence[int]) -> float:
    examples = [Example(f"{label} {turn}", label) for label, number in enumerate(rows) for turn in range(number)]
    info = DatasetInfo("x", {}, tuple(names), index, {})
    return check_given_model("m", Says(outputs, len(names)), examples, info)


DIGITS = {"0": 0, "1": 1}
WORDS = {"bad": 0, "good": 1}
TOPICS = {name: place for place, name in enumerate(["a", "b", "c", "d"])}


@pytest.mark.parametrize(
    ("outputs", "index", "rows", "agreed"),
    [
        ([[0], [1]], DIGITS, (40, 40), 1.0),
        ([[0, 0, 0, 1], [1, 1, 1, 0]], WORDS, (400, 400), 0.75),  # weak, and still its own rows
        ([[0], [1, 1, 0]], WORDS, (95, 6), 0.98),
        ([[0], [1], [2], [3, 0]], TOPICS, (40, 40, 40, 40), 0.875),
    ],
)
def test_a_model_of_these_rows(
    outputs: Sequence[Sequence[int]], index: dict[str, int], rows: Sequence[int], agreed: float
) -> None:
    assert check(outputs, list(index), index, rows) == pytest.approx(agreed, abs=0.02)


@pytest.mark.parametrize(
    ("outputs", "names", "index", "rows", "sentence"),
    [
        ([[1], [0]], ["0", "1"], DIGITS, (60, 40), r"gives 0% of 100 .*, and 100% if .* add  --label-names 1,0$"),
        ([[1], [0]], ["bad", "good"], WORDS, (60, 40), "add  --label-names good,bad$"),
        ([[1], [0]], ["neg", "pos"], DIGITS, (60, 40), "add  --label-names 1,0$"),  # what stands in the rows
        ([[1], [0]], ["a, b", "c"], {"a, b": 0, "c": 1}, (9, 9), r"add  --set 'rows.label_names=\[\"c\", \"a, b\"\]'$"),
        ([[2], [0], [1]], ["a", "b", "c"], {"a": 0, "b": 1, "c": 2}, (30, 30, 30), "add  --label-names b,c,a$"),
        ([[0], [1], [3], [2]], list("abcd"), TOPICS, (9, 9, 9, 9), "gives 50% .* 100% .* --label-names a,b,d,c$"),
        ([[1, 1, 1, 0], [0, 0, 1, 0]], ["bad", "good"], WORDS, (80, 80), "gives 25% .* 75% if .* good,bad$"),
        ([[0, 1], [0, 1]], ["bad", "good"], WORDS, (60, 60), "gives 50% .* no more than chance would, in whatever"),
        ([[0], [0]], ["bad", "good"], WORDS, (90, 10), "gives 90% .* no more than chance would"),  # one answer to all
    ],
)
def test_a_model_of_other_rows_or_in_another_order(
    outputs: Sequence[Sequence[int]], names: Sequence[str], index: dict[str, int], rows: Sequence[int], sentence: str
) -> None:
    with pytest.raises(VictimError, match=sentence) as caught:
        check(outputs, names, index, rows)
    assert "\n" not in str(caught.value)
