"""Memory at the highest, of each block by itself."""

from __future__ import annotations

import gc

import numpy as np

from openbackdoor_badllm.evaluation.usage import PeakMemory

MIB = 2**20


def block(mebibytes: int) -> float:
    """The peak of a block that fills so much memory and gives it back."""
    with PeakMemory() as peak:
        filled = np.ones(mebibytes * MIB, dtype=np.uint8)  # written to: memory that is only asked for does not count
        assert filled[-1] == 1
        del filled
        gc.collect()
    return peak.host


def test_the_highest_is_told_even_when_it_was_given_back() -> None:
    small, large = block(1), block(300)
    assert large > small + 250
