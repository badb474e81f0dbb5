"""The order of training rows."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.training.sampling import BLOCK, BucketSampler


@given(
    lengths=st.lists(st.integers(1, 60), max_size=200),
    batch_size=st.integers(1, 17),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_epoch_is_a_permutation(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    sampler = BucketSampler(lengths, batch_size, seed)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))
    assert len(sampler) == len(lengths)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = [random.Random(1).randint(1, 40) for _ in range(100)]
    through = BucketSampler(lengths, 8, seed=3)
    epochs = [list(through) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = BucketSampler(lengths, 8, seed=3)
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2]
    assert list(BucketSampler(lengths, 8, seed=4)) != epochs[0]


def test_batches_hold_rows_of_like_length() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 100) for _ in range(8 * BLOCK * 6)]
    order = list(BucketSampler(lengths, 8, seed=0))

    def padding(indices: list[int]) -> int:
        batches = [indices[k : k + 8] for k in range(0, len(indices), 8)]
        return sum(max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch) for batch in batches)

    shuffled = list(range(len(lengths)))
    rng.shuffle(shuffled)
    assert padding(order) < 0.35 * padding(shuffled)


def test_an_epoch_does_not_run_from_short_to_long() -> None:
    lengths = list(range(1, 129))
    order = list(BucketSampler(lengths, 4, seed=0))
    means = [sum(lengths[i] for i in order[k : k + 4]) / 4 for k in range(0, 128, 4)]
    rising = sum(a < b for a, b in pairwise(means))
    assert 0.25 * len(means) < rising < 0.75 * len(means)


@given(lengths=st.lists(st.integers(1, 60), max_size=200), batch_size=st.integers(1, 9))
def test_batches_are_whole_slices_of_a_sorted_block(lengths: list[int], batch_size: int) -> None:
    """A short batch in the middle would shift all later ones, so that each would mix two lengths."""
    order = list(BucketSampler(lengths, batch_size, seed=1))
    full = len(lengths) - len(lengths) % batch_size
    for start in range(0, full, batch_size):
        batch = [lengths[i] for i in order[start : start + batch_size]]
        assert batch == sorted(batch)
