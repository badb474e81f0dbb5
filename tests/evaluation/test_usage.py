"""Memory at the highest, of each block by itself."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from openbackdoor_badllm.evaluation.usage import CLEAR, PeakMemory

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


@pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux's /proc/self/clear_refs")
def test_a_block_does_not_pay_for_the_one_before() -> None:
    large, small = block(300), block(1)
    assert small < large - 250


def test_without_a_gpu_there_is_no_figure_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with PeakMemory() as peak:
        pass
    assert peak.gpu is None
    assert peak.host > 10
