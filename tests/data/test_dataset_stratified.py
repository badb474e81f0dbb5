"""Stratified draws."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.data.stratified import split_off, stratified_sample

LABELS = [0] * 60 + [1] * 30 + [2] * 10
MANY = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def test_shares_are_kept_and_so_is_the_order() -> None:
    drawn = stratified_sample(LABELS, 20, random.Random(0))
    assert drawn == sorted(drawn)
    assert Counter(LABELS[i] for i in drawn) == {0: 12, 1: 6, 2: 2}


def test_larger_draw_holds_the_smaller() -> None:
    small = stratified_sample(LABELS, 20, random.Random(1))
    large = stratified_sample(LABELS, 50, random.Random(1))
    assert set(small) < set(large)


@given(MANY, st.integers(1, 80), st.integers(0, 3))
def test_sample_has_its_size(labels: list[int], size: int, seed: int) -> None:
    drawn = stratified_sample(labels, size, random.Random(seed))
    assert len(set(drawn)) == len(drawn) == min(size, len(labels))
    if size >= len(set(labels)):
        assert {labels[i] for i in drawn} == set(labels)


@given(MANY, st.floats(0, 0.99), st.integers(0, 3))
def test_split_is_a_partition_that_leaves_each_class(labels: list[int], rate: float, seed: int) -> None:
    kept, drawn = split_off(labels, rate, random.Random(seed))
    assert sorted(kept + drawn) == list(range(len(labels)))
    assert {labels[i] for i in kept} == set(labels)
    assert len(drawn) <= rate * len(labels)
