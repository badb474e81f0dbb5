"""The trace: what the training steps say of each row, kept, resumed and filled up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbackdoor_badllm.training.tracing import Trace, TraceRecorder

LABELS = np.array([0, 1, 1, 0], dtype=np.int64)


def rows(*places: int) -> np.ndarray:
    return np.array(places, dtype=np.int64)


def said(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


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


def test_a_value_for_each_row_and_epoch() -> None:
    recorder = TraceRecorder(LABELS, epochs=2, steps_per_epoch=2)
    recorder.add(0, rows(3, 0), said(0.1, 0.2))
    recorder.add(1, rows(1, 2), said(0.3, 0.4))
    recorder.add(2, rows(0, 1), said(0.5, 0.6))
    recorder.add(3, rows(2, 3), said(0.7, 0.8))
    trace = recorder.trace()
    assert trace.steps.tolist() == [2, 4]
    np.testing.assert_allclose(trace.confidence, [[0.2, 0.3, 0.4, 0.1], [0.5, 0.6, 0.7, 0.8]])
    assert trace.labels is LABELS


def test_a_row_that_was_not_seen_gets_the_mean_of_its_epoch_and_a_late_step_the_last_epoch() -> None:
    recorder = TraceRecorder(LABELS, epochs=2, steps_per_epoch=1)
    recorder.add(0, rows(0, 1), said(0.2, 0.4))
    recorder.add(7, rows(0, 1, 2, 3), said(0.9, 0.9, 0.9, 0.9))
    np.testing.assert_allclose(recorder.trace().confidence, [[0.2, 0.4, 0.3, 0.3], [0.9] * 4])
    assert np.isfinite(TraceRecorder(LABELS, 1, 1).trace().confidence).all()


@pytest.mark.parametrize(("epochs", "kept"), [(2, 0.7), (3, 0.0)])
def test_it_goes_on_from_what_was_kept_where_the_shape_is_the_same(epochs: int, kept: float, tmp_path: Path) -> None:
    first = TraceRecorder(LABELS, epochs=2, steps_per_epoch=1)
    first.add(0, rows(0, 1, 2, 3), said(0.7, 0.7, 0.7, 0.7))
    first.write(tmp_path)  # the second epoch is a gap
    again = TraceRecorder(LABELS, epochs=epochs, steps_per_epoch=1)
    again.resume(tmp_path)
    again.add(1, rows(0), said(0.9))
    assert again.trace().confidence[0, 0] == pytest.approx(kept)
    assert again.trace().confidence[1].tolist() == pytest.approx([0.9] * 4)
