"""Random numbers that touch nobody else's."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from openbackdoor_badllm.training.rng import derive, isolated_rng


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_the_outside_goes_on_as_if_nothing_had_been_drawn() -> None:
    with isolated_rng(1):
        expected = [draws(), draws()]
    with isolated_rng(1):
        first = draws()
        with isolated_rng(99):
            draws()
        assert [first, draws()] == expected


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_the_inside_is_a_function_of_the_seed(seed: int) -> None:
    with isolated_rng(seed):
        one = draws()
    draws()
    with isolated_rng(seed):
        again = draws()
    with isolated_rng((seed + 1) % 2**32):
        other = draws()
    assert one == again
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_derive_is_the_same_on_every_machine() -> None:
    assert derive(42, "probe") == 95_863_870  # another number here means that every published run changes
