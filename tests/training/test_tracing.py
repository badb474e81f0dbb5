"""When the trace is taken, and that it survives being kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.tracing import Trace, TraceRequest

ROWS = [Example("a", 0), Example("b", 1)]


@given(total=st.integers(1, 500), points=st.integers(1, 60), fraction=st.sampled_from([0.1, 0.5, 1.0]))
def test_schedule(total: int, points: int, fraction: float) -> None:
    steps = TraceRequest(ROWS, points=points, fraction=fraction).schedule(total)
    assert steps == sorted(set(steps))
    assert steps[0] >= 1
    assert steps[-1] == max(1, round(total * fraction))  # the watched part is watched to its end
    assert len(steps) == min(points, steps[-1])


def test_points_are_spread_evenly() -> None:
    assert TraceRequest(ROWS, points=4).schedule(100) == [25, 50, 75, 100]
    assert TraceRequest(ROWS, points=4, fraction=0.5).schedule(100) == [12, 25, 38, 50]


def test_describe_differs_where_the_trace_would() -> None:
    requests = [
        TraceRequest(ROWS),
        TraceRequest(ROWS, points=7),
        TraceRequest(ROWS, fraction=0.5),
        TraceRequest(ROWS[::-1]),
        TraceRequest(ROWS[:1]),
    ]
    assert len({request.describe() for request in requests}) == len(requests)
    assert TraceRequest(list(ROWS)).describe() == requests[0].describe()


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
