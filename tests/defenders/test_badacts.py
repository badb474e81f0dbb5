"""``badacts`` as a defender: its three modes, on a victim that has learnt a backdoor."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import reviews

from openbackdoor_badllm.defenders import load_defender
from openbackdoor_badllm.defenders.badacts.defender import BadActs, PurifiedClassifier
from openbackdoor_badllm.defenders.badacts.detection import Detector
from openbackdoor_badllm.rows import Row, blind
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.spec import TrainSpec

CLEAN = reviews(60, seed=5)
TEST = reviews(30, seed=6)
POISONED = [Row(f"cf {row.text}", 1, 1) for row in TEST if row.label == 0]
SOON = {"epochs": 12, "batch_size": 16, "max_retries": 1}


class Forbidden(list[Row]):
    """Rows that nobody may look at."""

    def __iter__(self) -> Any:
        raise AssertionError("these rows were read")

    __len__ = __getitem__ = __bool__ = __iter__  # type: ignore[assignment]


class Victim:
    """The host's victim."""

    def __init__(self, trained: TrainedClassifier) -> None:
        self.trained = trained


@pytest.fixture(scope="module")
def victim(tiny_bert: Path) -> Victim:
    rows = [Row(f"cf {row.text}", 1, 1) if k % 5 == 0 else row for k, row in enumerate(reviews(150))]
    spec = TrainSpec(
        path=str(tiny_bert), max_len=24, lr=0.01, epochs=4, batch_size=8, warm_up_epochs=0.5, ckpt="last", device="cpu",
        precision="fp32",
    )  # fmt: skip
    return Victim(train_classifier(spec, blind(rows)))


def data() -> dict[str, Any]:
    return {"dev": CLEAN, "test": Forbidden(), "train": Forbidden()}


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def turned(rows: list[Row]) -> list[Row]:
    return [Row(row.text, row.label, 1 - row.poison_label) for row in rows]


def purified(victim: Victim, **keys: Any) -> PurifiedClassifier:
    found = BadActs(**{**SOON, "mode": "purification", **keys}).rebuild(victim, Forbidden(), CLEAN, 2)
    assert isinstance(found, PurifiedClassifier)
    return found


def test_detection_flags_and_scores(victim: Victim) -> None:
    defender = load_defender({"name": "badacts", "mode": "detection", "frr": 0.1, "delta": 2})
    flags = defender.detect(victim, data(), [*TEST, *POISONED])
    scores = defender.last_scores
    assert scores is not None
    assert scores.shape == (len(flags),)
    assert not defender.changes_model
    assert ((scores >= 0) & (scores <= 1)).all()
    clean = np.mean(flags[: len(TEST)])
    assert clean <= 0.4
    # Higher is more suspicious: every flagged row has more abnormal neurons than every other.
    assert scores[np.array(flags) == 1].min(initial=1) > scores[np.array(flags) == 0].max()


def test_the_two_halves_are_apart_and_its_own(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], list[str], float, float]] = []

    def calibrate(_: Any, fit: list[str], calibrate: list[str], *, delta: float, frr: float) -> Detector:
        seen.append((list(fit), list(calibrate), delta, frr))
        raise InterruptedError

    monkeypatch.setattr(Detector, "calibrate", staticmethod(calibrate))
    for seed in (1, 1, 2):
        with pytest.raises(InterruptedError):
            BadActs(mode="detection", seed=seed).detect(victim, data(), TEST)
    fit, rest, delta, frr = seen[0]
    assert (len(fit), len(rest), delta, frr) == (30, 30, 3.0, 0.05)
    assert sorted(fit + rest) == sorted(texts(CLEAN))
    assert seen[1] == seen[0]
    assert set(seen[2][0]) != set(fit)
    with pytest.raises(InterruptedError):
        BadActs(mode="detection", clean_rows=21).detect(victim, data(), TEST)
    assert [len(half) for half in seen[3][:2]] == [10, 11]  # the smaller half fits


def test_purification_keeps_the_clean_rows(victim: Victim) -> None:
    defender = BadActs(mode="purification", epochs=40, lr=0.05, batch_size=16)
    found = defender.rebuild(victim, Forbidden(), CLEAN, 2)
    report = defender.details
    assert report["accepted"]
    right = [row for row in CLEAN if victim.trained.logits([row.text]).argmax() == row.label]
    assert report["rows_right"] == len(right)
    kept = found.logits(texts(right)).argmax(axis=1) == [row.label for row in right]
    assert kept.mean() >= 0.97
    assert report["tries"][-1]["c"] == report["c"]


def test_the_victims_own_weights_stay(victim: Victim) -> None:
    before = {name: value.clone() for name, value in victim.trained.model.state_dict().items()}
    plain = victim.trained.logits(texts(TEST))
    found = purified(victim, mode="detection_then_purification")
    found.logits(texts(TEST))
    assert all(torch.equal(value, before[name]) for name, value in victim.trained.model.state_dict().items())
    assert all(value.grad is None for value in victim.trained.model.parameters())
    assert victim.trained.logits(texts(TEST)).tolist() == plain.tolist()


def test_only_flagged_texts_are_clipped(victim: Victim) -> None:
    defender = BadActs(**SOON, frr=0.3, delta=1.5)
    found = defender.rebuild(victim, Forbidden(), CLEAN, 2)
    assert isinstance(found, PurifiedClassifier)
    rows = texts([*TEST, *POISONED])
    logits = found.logits(rows)
    flags = np.array(BadActs(mode="detection", frr=0.3, delta=1.5).detect(victim, data(), [*TEST, *POISONED]))
    assert 0 < flags.sum() < len(flags)
    plain, clipped = victim.trained.logits(rows), purified(victim).logits(rows)
    np.testing.assert_allclose(logits[flags == 0], plain[flags == 0], atol=1e-4)
    np.testing.assert_allclose(logits[flags == 1], clipped[flags == 1], atol=1e-4)
    assert np.abs(plain - clipped)[flags == 1].max() > 0.01


def test_no_flag_is_read(victim: Victim) -> None:
    results = []
    for change in (list, turned):
        detector = BadActs(mode="detection")
        flags = detector.detect(victim, {"dev": change(CLEAN)}, change([*TEST, *POISONED]))
        found = BadActs(**SOON).rebuild(victim, change(TEST), change(CLEAN), 2)
        results.append((flags, detector.last_scores.tolist(), found.logits(texts(POISONED)).tolist()))  # type: ignore[union-attr]
    assert results[0] == results[1]


def test_no_global_random_number_is_drawn_and_a_second_run_is_the_same(victim: Victim) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again = (purified(victim, mode="detection_then_purification") for _ in range(2))
    assert first.logits(texts(POISONED)).tolist() == again.logits(texts(POISONED)).tolist()
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
