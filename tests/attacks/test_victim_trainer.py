"""The trainer: what it passes on, which rows choose the checkpoint, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_world import reviews

from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.errors import DataError
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


# -- which rows choose -----------------------------------------------------------------------------------------


def test_dev_poison_is_never_read(engine: Recorder, victim: PLMVictim) -> None:
    dev = reviews(8, seed=1)
    for ckpt in ("best", "last"):
        load_trainer({"ckpt": ckpt}).train(
            victim, {"train": reviews(20), "dev-clean": dev, "dev-poison": Forbidden(), "test-poison": Forbidden()}
        )
        assert engine.calls[-1]["dev"] == [Example(row.text, row.label) for row in dev]


def test_poison_flags_never_reach_the_engine(engine: Recorder, victim: PLMVictim) -> None:
    rows = [("good", 1, 1), ("bad", 0, 0)]
    load_trainer({}).train(victim, {"train": rows, "dev-clean": rows})
    assert engine.calls[0]["examples"] == engine.calls[0]["dev"] == [("good", 1), ("bad", 0)]


def test_best_is_the_epoch_that_the_clean_dev_rows_like_most(victim: PLMVictim) -> None:
    # What is learnt makes these dev rows worse, epoch by epoch: the best epoch is an early one.
    data = {"train": reviews(120), "dev-clean": flipped(reviews(30, seed=1)), "dev-poison": Forbidden()}
    keys = {"lr": 3e-4, "epochs": 4, "batch_size": 16, "warm_up_epochs": 2, "precision": "fp32"}
    last = accuracy(load_trainer({**keys, "ckpt": "last"}).train(victim, data), data["dev-clean"])
    best = accuracy(load_trainer({**keys, "ckpt": "best"}).train(victim, data), data["dev-clean"])
    assert last < 0.1
    assert best > 0.2


def test_best_without_dev_rows_keeps_the_last_epoch(victim: PLMVictim) -> None:
    keys = {"lr": 0.01, "epochs": 2, "batch_size": 16, "precision": "fp32"}
    rows = reviews(40)
    texts = [row.text for row in reviews(10, seed=1)]
    best = load_trainer({**keys, "ckpt": "best"}).train(victim, {"train": rows, "dev-clean": []}).logits(texts)
    last = load_trainer({**keys, "ckpt": "last"}).train(victim, {"train": rows}).logits(texts)
    assert best.tolist() == last.tolist()


# -- what is passed on -----------------------------------------------------------------------------------------


def test_keys_reach_the_engine(engine: Recorder, tiny_bert: Path) -> None:
    trainer = load_trainer(
        {
            "name": "Base",
            "lr": 1e-3,
            "weight_decay": 0,
            "epochs": 3,
            "batch_size": 4,
            "warm_up_epochs": 1,
            "gradient_accumulation_steps": 2,
            "max_grad_norm": 2,
            "ckpt": "last",
            "save_path": "./models",
            "seed": 9,
        }
    )
    victim = load_victim({"path": str(tiny_bert), "device": "cpu", "max_len": 16, "num_classes": 4})
    trainer.train(victim, {"train": reviews(10)})
    assert engine.calls[0]["spec"] == TrainSpec(
        path=str(tiny_bert),
        num_labels=4,
        max_len=16,
        lr=1e-3,
        weight_decay=0.0,
        epochs=3,
        batch_size=4,
        warm_up_epochs=1.0,
        gradient_accumulation_steps=2,
        max_grad_norm=2.0,
        ckpt="last",
        device="cpu",
        precision="auto",
        seed=9,
    )


def test_store_and_progress_reach_the_engine(engine: Recorder, victim: PLMVictim) -> None:
    trainer = load_trainer({})
    trainer.store, trainer.progress = object(), object()  # type: ignore[assignment]
    trainer.train(victim, {"train": reviews(10)})
    assert engine.calls[0]["store"] is trainer.store
    assert engine.calls[0]["progress"] is trainer.progress


def test_texts_are_mended_on_the_way(engine: Recorder, victim: PLMVictim) -> None:
    load_trainer({}).train(victim, {"train": [(float("nan"), 0.0, 0), (None, "1", 0), (3.5, 1, 0)]})
    assert engine.calls[0]["examples"] == [("", 0), ("", 1), ("3.5", 1)]


# -- what is refused -------------------------------------------------------------------------------------------


def test_no_rows(victim: PLMVictim) -> None:
    with pytest.raises(DataError, match=r"^There are no training rows left: expected at least one of each class\.$"):
        load_trainer({}).train(victim, {"train": []})


@pytest.mark.parametrize("split", ["train", "dev-clean"])
def test_a_label_outside_the_classes(victim: PLMVictim, split: str) -> None:
    data = {"train": reviews(10), "dev-clean": reviews(4, seed=1)}
    data[split] = [*data[split], Row("good film", 2)]
    with pytest.raises(DataError, match=r"^A row has the label 2, but the victim has classes 0 to 1: raise "):
        load_trainer({}).train(victim, data)
