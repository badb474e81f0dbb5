"""What every defender has, called as OpenBackdoor calls it."""

from __future__ import annotations

import inspect

import pytest

from openbackdoor_badllm.defenders.base import Defender, detection_rates


class Flags(Defender):
    """Flags what it is told to."""

    def __init__(self, *flags: int) -> None:
        super().__init__(name="flags")
        self.flags = list(flags)
        self.got: tuple[object, ...] = ()

    def detect(self, model: object = None, clean_data: object = None, poison_data: object = None) -> list[int]:
        self.got = (model, clean_data, poison_data)
        return self.flags


def test_the_interface_of_openbackdoor() -> None:
    """``detect`` is called by position, the others by keyword."""
    for name in ("detect", "correct", "eval_detect"):
        parameters = inspect.signature(getattr(Defender, name)).parameters
        assert list(parameters) == ["self", "model", "clean_data", "poison_data"]


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
