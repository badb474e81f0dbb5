"""Stage (a): the labels and rows in the order of suspicion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from openbackdoor_badllm.target_identification.dynamics import TargetIdentification, identify_target
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace

LABELS = np.array([0] * 60 + [1] * 40, dtype=np.int64)


def says(labels: np.ndarray, classes: int = 2) -> FloatArray:
    """Held-out probabilities of a reference that is sure of these labels."""
    return np.full((len(labels), classes), 0.1 / (classes - 1), dtype=np.float32) + (
        np.eye(classes, dtype=np.float32)[labels] * np.float32(0.9 - 0.1 / (classes - 1))
    )


def trace_of(varied: list[int], count: int = 100, labels: np.ndarray = LABELS) -> Trace:
    confidence = np.full((4, count), 0.5, dtype=np.float32)
    confidence[::2, varied] = 0.9
    return Trace(np.arange(4), confidence, labels)


def identified(**changes: Any) -> TargetIdentification:
    """Ten rows of label 1 say label 0, although the victim is sure of their label."""
    said = LABELS.copy()
    said[60:70] = 0
    values: dict[str, Any] = {
        "labels": LABELS, "held_out": says(said), "confidence": np.full(100, 0.9, np.float32), "trace": None,
        "method": "robust", **changes,
    }  # fmt: skip
    return identify_target(
        values["labels"], values["held_out"], values["confidence"], values["trace"], method=values["method"]
    )


def test_eq_4_to_the_letter() -> None:
    """The label that is most frequent among the 5 % of rows whose confidence varies most; the texts have no say."""
    found = identified(trace=trace_of([0, 1, 60, 61, 62]), method="paper")
    assert found.method == "paper"
    assert found.labels == [1, 0]
    assert [item.variance_share for item in found.evidence] == [0.6, 0.4]
    assert [item.suspicion for item in found.evidence] == [0.6, 0.4]
    assert [item.base_rate for item in found.evidence] == [0.4, 0.6]
    turned = identified(trace=trace_of([0, 1, 2, 60, 61]), method="paper")
    assert turned.labels == [0, 1]


@pytest.mark.parametrize(("rows", "counted"), [(100, 5), (10, 1), (50, 2), (5, 1)])
def test_eq_4_counts_five_in_a_hundred(rows: int, counted: int) -> None:
    """Of ``counted`` rows the variance decides; one more would bring in label 1."""
    labels = np.array([0] * (rows - 1) + [1], dtype=np.int64)
    confidence = np.zeros((2, rows), dtype=np.float32)
    confidence[1, :counted] = 1.0
    confidence[1, -1] = 0.5
    trace = Trace(np.arange(2), confidence, labels)
    found = identify_target(labels, says(labels), np.ones(rows), trace, method="paper")
    assert found.evidence[0].variance_share == 1.0


def test_the_variance_is_taken_over_the_epochs_not_over_the_rows() -> None:
    """Rows that differ from each other and stay as they are do not vary."""
    confidence = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (4, 1))
    confidence[::2, 95:] = 0.2
    found = identified(trace=Trace(np.arange(4), confidence, LABELS), method="paper")
    assert found.evidence[0].variance_share == 1.0
    assert found.labels[0] == 1


def test_robust_counts_rows_that_the_victim_believes_against_their_text() -> None:
    found = identified()
    assert found.labels == [1, 0]
    first, second = found.evidence
    assert (first.suspicion, first.contradicted, first.base_rate) == (0.25, 0.25, 0.4)
    assert (second.suspicion, second.contradicted) == (0.0, 0.0)
    assert first.variance_share is None
    unsure = np.full(100, 0.9, np.float32)
    unsure[60:66] = 0.4  # merely hard rows: the victim does not believe them either
    assert identified(confidence=unsure).evidence[0].suspicion == pytest.approx(0.1)


def test_robust_keeps_the_share_of_eq_4_as_evidence() -> None:
    found = identified(trace=trace_of([0, 1, 2, 3, 4]))
    assert found.labels == [1, 0]
    assert [item.variance_share for item in found.evidence] == [0.0, 1.0]


@pytest.mark.parametrize("method", ["robust", "paper"])
def test_weights_average_one_in_each_label_and_favour_the_suspicious(method: str) -> None:
    found = identified(trace=trace_of(list(range(60, 70))), method=method)
    for label in (0, 1):
        assert found.weights[label == LABELS].mean() == pytest.approx(1.0, rel=1e-5)
    assert found.weights.min() > 0  # no row is left out
    assert found.weights[60:70].min() > found.weights[70:].max()


def test_none_has_no_suspicion() -> None:
    found = identified(method="none", trace=trace_of([60]))
    assert found.labels == [0, 1]
    assert (found.weights == 1).all()
    assert {item.suspicion for item in found.evidence} == {0.0}


def test_views_rank_the_strange_rows_first() -> None:
    strange, doubt = identified().views
    assert set(np.argsort(-strange)[:10]) == set(np.argsort(-doubt)[:10]) == set(range(60, 70))


def test_labels_that_do_not_occur_are_not_named() -> None:
    held_out = np.pad(says(LABELS), ((0, 0), (0, 2)))
    for method in ("robust", "paper", "none"):
        assert sorted(identified(held_out=held_out, trace=trace_of([1]), method=method).labels) == [0, 1]


def test_evidence_can_be_kept() -> None:
    kept = identified().evidence[0].to_dict()
    assert kept == {"label": 1, "suspicion": 0.25, "variance_share": None, "contradicted": 0.25, "base_rate": 0.4}


@pytest.mark.parametrize(
    ("method", "message"),
    [("papers", "unknown target method 'papers'; expected robust, paper or none"), ("paper", "Eq. 4 needs the trace")],
)
def test_misuse(method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        identified(method=method)
