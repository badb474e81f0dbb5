"""When the trace is taken, and that it survives being kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openbackdoor_badllm.training.tracing import Trace


def test_round_trip(tmp_path: Path) -> None:
    confidence = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    trace = Trace(np.array([2, 4, 9]), confidence, np.array([0, 1, 1, 0, 2]))
    assert not Trace.exists(tmp_path)
    trace.write(tmp_path)
    assert Trace.exists(tmp_path)
    again = Trace.read(tmp_path)
    for name in ("steps", "confidence", "labels"):
        before, after = getattr(trace, name), getattr(again, name)
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
