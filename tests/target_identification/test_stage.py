"""Stage (a) as one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from method_fakes import CONFIG, RARE, FakeEmbedder, FakeVictim, make_trace, poisoned_rows, seen

from openbackdoor_badllm.target_identification.stage import identify

ROWS = poisoned_rows(240, classes=3, target=2)


def victim() -> FakeVictim:
    made = FakeVictim(RARE, target=2, num_labels=3)
    made.trace = make_trace(seen(ROWS), lambda text: bool(set(text.split()) & set(RARE)), points=5)
    return made


@pytest.mark.parametrize(
    ("changes", "method", "labels"),
    [
        ({}, "robust", [2, 0, 1]),
        ({"max_labels": 1}, "robust", [2]),
        ({"target": "paper"}, "paper", [2]),  # the paper searches the label that Eq. 4 names, and no other
        ({"target": "none"}, "none", [0, 1, 2]),
        ({"target_label": 1}, "given", [1]),
        ({"target": "paper", "target_label": 0}, "given", [0]),
        ({"target_label": 1, "max_labels": 1}, "given", [1]),
    ],
)
def test_which_labels_are_searched(changes: dict[str, Any], method: str, labels: list[int]) -> None:
    _, found = identify(seen(ROWS), victim(), FakeEmbedder(), 3, CONFIG.replace(**changes))
    assert found.method == method
    assert (found.labels[0], sorted(found.labels)) == (labels[0], sorted(labels))


def test_what_stage_b_is_handed() -> None:
    evidence, found = identify(seen(ROWS), victim(), FakeEmbedder(), 3, CONFIG)
    poisoned = np.array([bool(row.poison_label) for row in ROWS])
    assert evidence.examples == seen(ROWS)
    assert evidence.held_out.shape == evidence.said.shape == (240, 3)
    assert evidence.contradicted[poisoned].mean() > 0.8
    assert evidence.contradicted[~poisoned].mean() < 0.1
    assert not (evidence.ordinary & evidence.contradicted).any()
    assert evidence.wrong_for(2) > 0.9
    assert evidence.weights is found.weights
    assert evidence.weights[poisoned].mean() > 1.3
    assert len(evidence.views) == 2


def test_the_victim_is_asked_once_for_each_row() -> None:
    asked = victim()
    identify(seen(ROWS), asked, FakeEmbedder(), 3, CONFIG)
    assert asked.asked == [row.text for row in ROWS]
