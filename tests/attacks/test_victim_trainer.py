"""The trainer: what it passes on, which rows choose the checkpoint, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_world import reviews

from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.openbackdoor.builtin import load_trainer, load_victim
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.spec import TrainSpec

TRAIN = "openbackdoor_badllm.attacks.victim_trainer.train_classifier"


class Forbidden(list[Row]):
    """Rows that nobody may look at."""

    def __iter__(self) -> Any:
        raise AssertionError("these rows were read")

    __len__ = __getitem__ = __bool__ = __iter__  # type: ignore[assignment]


class Recorder:
    """Stands in for the engine."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, spec: TrainSpec, examples: Sequence[Example], **more: Any) -> TrainedClassifier:
        self.calls.append({"spec": spec, "examples": examples, **more})
        return TrainedClassifier(None, None, spec)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(TRAIN, recorder)
    return recorder


@pytest.fixture
def victim(tiny_bert: Path) -> PLMVictim:
    return load_victim({"path": str(tiny_bert), "device": "cpu", "max_len": 16, "num_classes": 2})


def flipped(rows: Sequence[Row]) -> list[Row]:
    return [Row(row.text, 1 - row.label) for row in rows]


def accuracy(victim: PLMVictim, rows: Sequence[Row]) -> float:
    predictions = victim.logits([row.text for row in rows]).argmax(axis=1)
    return float((predictions == [row.label for row in rows]).mean())


def test_dev_poison_is_never_read(engine: Recorder, victim: PLMVictim) -> None:
    dev = reviews(8, seed=1)
    for ckpt in ("best", "last"):
        load_trainer({"ckpt": ckpt}).train(
            victim, {"train": reviews(20), "dev-clean": dev, "dev-poison": Forbidden(), "test-poison": Forbidden()}
        )
        assert engine.calls[-1]["dev"] == [Example(row.text, row.label) for row in dev]


def test_best_is_the_epoch_that_the_clean_dev_rows_like_most(victim: PLMVictim) -> None:
    # What is learnt makes these dev rows worse, epoch by epoch: the best epoch is an early one.
    data = {"train": reviews(120), "dev-clean": flipped(reviews(30, seed=1)), "dev-poison": Forbidden()}
    keys = {"lr": 3e-4, "epochs": 4, "batch_size": 16, "warm_up_epochs": 2, "precision": "fp32"}
    last = accuracy(load_trainer({**keys, "ckpt": "last"}).train(victim, data), data["dev-clean"])
    best = accuracy(load_trainer({**keys, "ckpt": "best"}).train(victim, data), data["dev-clean"])
    assert last < 0.1
    assert best > 0.2


