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


def test_the_outside_is_put_back_after_an_error() -> None:
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy()

    def fail() -> None:
        draws()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), isolated_rng(5):
        fail()
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert (np.random.get_state()[1] == states[2]).all()


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


def test_derive_tells_purposes_seeds_and_paths_apart() -> None:
    paths = [(), ("probe",), ("probe", 0), ("probe", 1), ("poison", "train"), ("poison", "test")]
    seeds = {derive(seed, *path) for seed in range(20) for path in paths}
    assert len(seeds) == 20 * len(paths)
    assert all(0 <= seed < 2**31 for seed in seeds)
