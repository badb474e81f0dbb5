"""Detection: the Gaussians, the share of normal neurons and the threshold, against a row-by-row form in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_world import reviews

from openbackdoor_badllm.defenders.badacts.detection import Detector, NormalStates
from openbackdoor_badllm.training.layers import first_token_states
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer

Kin = Callable[[str, int], Path]
TEXTS = [row.text for row in reviews(60)]
FIT, OTHERS = TEXTS[:20], TEXTS[20:]


@pytest.fixture(params=[("bert", 3), ("roberta", 1), ("distilbert", 2)], ids=lambda kind: kind[0])
def scorer(request: pytest.FixtureRequest, kin: Kin) -> Scorer:
    folder = str(kin(*request.param))
    return Scorer(load_classifier(folder, 2, seed=1), load_tokenizer(folder), max_len=20, batch_tokens=64)


def states_of(scorer: Scorer, texts: list[str]) -> Any:
    """One text after the other."""
    return np.stack([next(first_token_states(scorer, [text]))[1][0].double().numpy() for text in texts])


def share_by_hand(values: Any, mean: Any, deviation: Any, delta: float) -> float:
    """Neuron by neuron, as it was published."""
    inside = 0
    for value, m, s in zip(values, mean, deviation, strict=True):
        if m - delta * s <= value <= m + delta * s:
            inside += 1
    return inside / len(values)


def test_the_gaussians_are_those_of_all_batches_together(scorer: Scorer) -> None:
    fitted, values = NormalStates.fit(scorer, FIT), states_of(scorer, FIT)
    np.testing.assert_allclose(fitted.mean, values.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(fitted.deviation, values.std(axis=0), atol=1e-5)  # ddof 0


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
def test_the_share_of_normal_neurons(scorer: Scorer, delta: float) -> None:
    fitted = NormalStates.fit(scorer, FIT)
    shares = fitted.share_inside(scorer, OTHERS, delta=delta)
    by_hand = [share_by_hand(row, fitted.mean, fitted.deviation, delta) for row in states_of(scorer, OTHERS)]
    # A neuron on the very edge may fall on either side: the padding of a batch changes the last digits.
    np.testing.assert_allclose(shares, by_hand, atol=1.5 / len(fitted.mean))
    assert np.mean(shares == by_hand) > 0.9
    assert len(set(by_hand)) > 5


@pytest.mark.parametrize(("frr", "place"), [(0.0, 0), (0.05, 2), (0.2, 8), (0.99, 39)])
def test_the_threshold_and_what_is_flagged(scorer: Scorer, frr: float, place: int) -> None:
    detector = Detector.calibrate(scorer, FIT, OTHERS, delta=1, frr=frr)
    shares = detector.states.share_inside(scorer, OTHERS, delta=1)
    assert detector.threshold == sorted(shares)[place]
    scores, flags, _ = detector.judge(scorer, OTHERS)
    assert flags.tolist() == [share < detector.threshold for share in shares]  # strictly below
    assert flags.sum() <= place
    np.testing.assert_allclose(scores, 1 - shares, atol=1e-6)  # higher is more suspicious
