"""The order of training rows."""

from __future__ import annotations

import random

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
