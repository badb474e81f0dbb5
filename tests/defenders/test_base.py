"""What every defender has, called as OpenBackdoor calls it."""

from __future__ import annotations

import inspect
import math

import pytest

from openbackdoor_badllm.defenders.base import Defender, detection_rates
from openbackdoor_badllm.rows import Row

ROWS = [Row("a", 0), Row("b", 1, 1), Row("c", 0), Row("d", 1, 1)]


class Flags(Defender):
    """Flags what it is told to."""

    def __init__(self, *flags: int) -> None:
        super().__init__(name="flags")
        self.flags = list(flags)
        self.got: tuple[object, ...] = ()

    def detect(self, model: object = None, clean_data: object = None, poison_data: object = None) -> list[int]:
        self.got = (model, clean_data, poison_data)
        return self.flags


def test_the_base_does_nothing() -> None:
    defender = Defender()
    assert (defender.name, defender.metrics) == ("base", ["FRR", "FAR"])
    assert not defender.pre
    assert not defender.correction
    assert defender.detect(None, None, ROWS) == [0, 0, 0, 0]
    assert defender.correct(poison_data=ROWS) == ROWS
    assert defender.correct(poison_data=ROWS) is not ROWS
    assert defender.detect() == defender.correct() == []


def test_the_interface_of_openbackdoor() -> None:
    """``detect`` is called by position, the others by keyword."""
    for name in ("detect", "correct", "eval_detect"):
        parameters = inspect.signature(getattr(Defender, name)).parameters
        assert list(parameters) == ["self", "model", "clean_data", "poison_data"]


def test_eval_detect_passes_by_position_and_scores_every_split() -> None:
    defender = Flags(1, 1, 0, 0)
    scores, flags = defender.eval_detect(model="m", clean_data="c", poison_data={"test-clean": ROWS, "x": ROWS[:]})
    assert defender.got == ("m", "c", ROWS)
    assert scores == {"test-clean": {"FRR": 0.5, "FAR": 0.5}, "x": {"FRR": 0.5, "FAR": 0.5}}
    assert list(flags) == [1, 1, 0, 0]
    assert Flags().eval_detect() == ({}, [])


@pytest.mark.parametrize(
    ("flags", "poisoned", "frr", "far"),
    [
        ([1, 1, 1], [0, 0, 1], 1.0, 0.0),
        ([0, 0, 0], [0, 0, 1], 0.0, 1.0),
        ([1, 0, 1, 0], [0, 0, 1, 1], 0.5, 0.5),
        ([True, False], [1, 0], 0.0, 0.0),
    ],
)
def test_detection_rates(flags: list[int], poisoned: list[int], frr: float, far: float) -> None:
    assert detection_rates(flags, poisoned) == {"FRR": frr, "FAR": far}


def test_a_rate_of_no_rows_is_nan() -> None:
    assert math.isnan(detection_rates([1], [1])["FRR"])
    assert math.isnan(detection_rates([1], [0])["FAR"])
    assert all(map(math.isnan, detection_rates([], []).values()))


def test_defend_corrects_the_training_rows_of_a_data_set() -> None:
    class Drop(Defender):
        def correct(self, model: object = None, clean_data: object = None, poison_data: object = None) -> list[Row]:
            return list(poison_data)[:1]  # type: ignore[call-overload]

    data = {"train": ROWS, "test": ROWS}
    assert Drop(pre=True).defend(data) == {"train": ROWS[:1], "test": ROWS}
    assert Drop(pre=False).defend(data) == data
    assert Drop(pre=True).defend({"test": ROWS}) == {"test": ROWS}
    assert data == {"train": ROWS, "test": ROWS}


def test_the_target_label_is_not_read_from_the_flags() -> None:
    assert Defender().get_target_label(ROWS) is None
