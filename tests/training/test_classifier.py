"""Training, on a BERT small enough to train in a second."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training import classifier as training
from openbackdoor_badllm.training import trainer
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store


def rows(count: int, seed: int = 0) -> list[Example]:
    """``good`` is 1, ``bad`` is 0, among words that say nothing."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        words = rng.choices(["the", "a", "film", "plot", "was", "very", "so"], k=rng.randint(1, 3))
        words.insert(rng.randint(0, len(words)), "good" if index % 2 else "bad")
        made.append(Example(" ".join(words), index % 2))
    return made


ROWS = rows(64)
UNSEEN = rows(40, seed=1)
STEPS = 8  # of an epoch
EPOCHS = 4


class Steps:
    """A listener that remembers, and may cut the training off."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen: list[int] = []
        self.totals: set[int] = set()
        self.stop_after = stop_after

    def stage(self, name: str) -> None:
        raise AssertionError("a training is no stage")

    def step(self, done: int, total: int, note: str = "") -> None:
        self.seen.append(done)
        self.totals.add(total)
        if self.stop_after is not None and done > self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def spec(tiny_bert: Path) -> TrainSpec:
    return TrainSpec(
        path=str(tiny_bert), max_len=16, lr=1e-2, epochs=EPOCHS, batch_size=8, warm_up_epochs=0.5, ckpt="last",
        device="cpu", precision="fp32", seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(spec: TrainSpec) -> TrainedClassifier:
    return train_classifier(spec, ROWS)


def weights(trained: TrainedClassifier) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in trained.model.state_dict().values()])


def accuracy(trained: TrainedClassifier, examples: list[Example]) -> float:
    predicted = trained.logits([example.text for example in examples]).argmax(axis=1)
    return float((predicted == np.array([example.label for example in examples])).mean())


def test_it_learns(trained: TrainedClassifier) -> None:
    assert accuracy(trained, UNSEEN) >= 0.95
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    assert trained.num_labels == 2
    assert not trained.from_store
    assert not trained.model.training


def test_the_trace_has_its_shape_and_shows_the_learning(trained: TrainedClassifier) -> None:
    trace = trained.trace
    assert trace is not None
    assert trace.steps.tolist() == [STEPS * epoch for epoch in range(1, EPOCHS + 1)]
    assert trace.confidence.shape == (EPOCHS, len(ROWS))
    assert trace.confidence.dtype == np.float32
    assert trace.labels.tolist() == [example.label for example in ROWS]
    assert ((trace.confidence >= 0) & (trace.confidence <= 1)).all()
    assert trace.confidence[-1].mean() > 0.9 > trace.confidence[0].mean()


def test_same_spec_same_weights_and_same_trace(spec: TrainSpec, trained: TrainedClassifier) -> None:
    """Also: nobody else's random numbers are used or moved, and nothing is printed."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    listener = Steps()
    again = train_classifier(spec, ROWS, progress=listener)
    assert torch.equal(weights(again), weights(trained))
    assert again.trace is not None
    assert trained.trace is not None
    np.testing.assert_array_equal(again.trace.confidence, trained.trace.confidence)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    assert listener.seen == list(range(1, STEPS * EPOCHS + 1))
    assert listener.totals == {STEPS * EPOCHS}


def test_the_store_returns_the_same_model_and_trains_nothing(
    spec: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = spec.replace(epochs=1)
    first = train_classifier(short, ROWS, store=Store(tmp_path))

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(training, "_train", forbidden)
    again = train_classifier(short, ROWS, store=Store(tmp_path))
    assert again.from_store
    assert again.key == first.key
    assert again.losses == first.losses
    assert again.seconds == first.seconds
    texts = [example.text for example in UNSEEN]
    np.testing.assert_array_equal(again.logits(texts), first.logits(texts))
    assert again.trace is not None
    assert first.trace is not None
    np.testing.assert_array_equal(again.trace.confidence, first.trace.confidence)
    assert [entry.name for entry in (tmp_path / "victims").iterdir()] == [first.key]
    for other in (
        {"spec": short.replace(lr=1e-3)}, {"examples": ROWS[::-1]}, {"spec": short.replace(seed=4)},
    ):  # fmt: skip
        arguments: dict[str, Any] = {"spec": short, "examples": ROWS, **other}
        with pytest.raises(AssertionError, match="trained again"):
            train_classifier(**arguments, store=Store(tmp_path))


@pytest.mark.parametrize("damage", ["model.safetensors", "trace.npz", "training.json"])
def test_a_damaged_store_entry_is_trained_again(spec: TrainSpec, tmp_path: Path, damage: str) -> None:
    short = spec.replace(epochs=1)
    first = train_classifier(short, ROWS[:16], store=Store(tmp_path))
    file = tmp_path / "victims" / first.key / damage
    file.write_bytes(b"{}" if damage == "training.json" else file.read_bytes()[:100])
    again = train_classifier(short, ROWS[:16], store=Store(tmp_path))
    assert not again.from_store
    assert torch.equal(weights(first), weights(again))
    assert train_classifier(short, ROWS[:16], store=Store(tmp_path)).from_store


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    spec: TrainSpec, trained: TrainedClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(spec, ROWS, store=Store(tmp_path), progress=Steps(stop_after=2 * STEPS))
    assert list((tmp_path / "victims").glob(".partial-*/checkpoint-16"))
    listener = Steps()
    resumed = train_classifier(spec, ROWS, store=Store(tmp_path), progress=listener)
    assert listener.seen[0] == 2 * STEPS + 1
    assert torch.equal(weights(resumed), weights(trained))
    assert resumed.trace is not None
    assert trained.trace is not None
    np.testing.assert_array_equal(resumed.trace.steps, trained.trace.steps)
    np.testing.assert_array_equal(resumed.trace.confidence, trained.trace.confidence)
    assert [entry.name for entry in (tmp_path / "victims").iterdir()] == [resumed.key]


def test_best_is_chosen_on_the_dev_rows(spec: TrainSpec) -> None:
    """Dev rows with the labels turned round: the best epoch is one before the task is learnt."""
    turned = [Example(example.text, 1 - example.label) for example in UNSEEN]
    slow = spec.replace(batch_size=32, lr=1e-3, epochs=6, warm_up_epochs=2)
    last = train_classifier(slow, ROWS, dev=turned)
    best = train_classifier(slow.replace(ckpt="best"), ROWS, dev=turned)
    assert accuracy(last, turned) <= 0.1
    assert accuracy(best, turned) >= accuracy(last, turned) + 0.1


def test_continued_trains_a_copy_further(spec: TrainSpec, trained: TrainedClassifier) -> None:
    """It unlearns a word, keeps the other, and leaves the first model as it was."""
    before = weights(trained)
    turned = [Example(example.text, 0) for example in ROWS[:32]]
    further = trained.continued(turned, epochs=2)
    assert torch.equal(weights(trained), before)
    assert not torch.equal(weights(further), before)
    assert (further.logits([example.text for example in UNSEEN]).argmax(axis=1) == 0).all()
    assert accuracy(trained, UNSEEN) >= 0.95
    assert further.trace is not None
    assert further.trace.confidence.shape == (2, 32)
    assert (further.spec.epochs, further.spec.lr) == (2, spec.lr / 2)
    assert not further.key
    gentle = trained.continued(turned, lr_share=1e-6)
    assert torch.allclose(weights(gentle), before, atol=1e-5)


def test_gradient_accumulation_averages(spec: TrainSpec) -> None:
    """Two batches of 8 in a step are one of 16: the same number of steps, and a loss of the same size."""
    listener = Steps()
    halves = spec.replace(epochs=1, gradient_accumulation_steps=2, lr=1e-6, max_grad_norm=1e9)
    accumulated = train_classifier(halves, ROWS, progress=listener)
    whole = train_classifier(halves.replace(batch_size=16, gradient_accumulation_steps=1), ROWS)
    assert listener.seen == [1, 2, 3, 4]
    np.testing.assert_allclose(np.mean(accumulated.losses), np.mean(whole.losses), rtol=0.05)
