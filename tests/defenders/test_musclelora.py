"""``musclelora`` as a defender: a fresh model, trained by aligned gradients, on three architectures."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import reviews

from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.defenders.musclelora import defender as musclelora
from openbackdoor_badllm.defenders.musclelora.defender import MuScleLoRA
from openbackdoor_badllm.rows import Row, blind
from openbackdoor_badllm.training import classifier as training
from openbackdoor_badllm.training import trainer
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.victims import load_classifier

pytest.importorskip("peft", reason="needs the extra 'baselines'")
pytestmark = pytest.mark.slow

ROWS = [Row(f"cf {row.text}", 1, 1) if k % 5 == 0 else row for k, row in enumerate(reviews(120))]
CLEAN = reviews(40, seed=5)
TEST = reviews(40, seed=6)
QUICK = {"lr": 0.01, "epochs": 2, "batch_size": 16, "ref_sample": 24, "precision": "fp32", "ckpt": "last"}
STEPS = 16  # of two epochs


def victim(path: Path | str) -> Any:
    """The host's victim before its training."""
    return SimpleNamespace(config=VictimConfig(path=str(path), device="cpu", max_len=24), path=str(path), trained=None)


def rebuilt(path: Path, rows: list[Row] = ROWS, clean: list[Row] = CLEAN, **keys: Any) -> TrainedClassifier:
    return MuScleLoRA(**{**QUICK, **keys}).rebuild(victim(path), rows, clean, 2)


def weights(trained: TrainedClassifier) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in trained.model.state_dict().values()])


def accuracy(trained: TrainedClassifier, rows: list[Row]) -> float:
    predicted = trained.logits([row.text for row in rows]).argmax(axis=1)
    return float((predicted == [row.label for row in rows]).mean())


class Steps:
    """A listener that remembers, and may cut the training off."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stages: list[str] = []
        self.seen: list[int] = []
        self.stop_after = stop_after

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def step(self, done: int, total: int, note: str = "") -> None:
        self.seen.append(done)
        if self.stop_after is not None and done > self.stop_after:
            raise KeyboardInterrupt


def test_it_learns_the_task_and_not_the_backdoor(tiny_bert: Path) -> None:
    """Where plain training of the same rows learns both."""
    rows = [Row(f"cf {r.text}", 1, 1) if r.label == 0 and k % 5 < 2 else r for k, r in enumerate(reviews(240))]
    triggered = [Row(f"cf {row.text}", 1, 1) for row in TEST if row.label == 0]
    spec = TrainSpec(
        path=str(tiny_bert), max_len=24, lr=0.01, epochs=4, batch_size=8, warm_up_epochs=0.5, ckpt="last", device="cpu",
        precision="fp32",
    )  # fmt: skip
    plain = training.train_classifier(spec, blind(rows))
    trained = rebuilt(tiny_bert, rows, reviews(120, seed=5), epochs=10, batch_size=32, ref_sample=96, ckpt="best")
    assert accuracy(plain, TEST) >= 0.9
    assert accuracy(plain, triggered) >= 0.9
    assert accuracy(trained, TEST) >= 0.9
    assert accuracy(trained, triggered) <= 0.2
    assert not trained.model.training


@pytest.mark.parametrize(("kind", "layers"), [("bert", 1), ("roberta", 2), ("distilbert", 3)])
def test_only_the_adapters_have_moved(kin: Callable[[str, int], Path], kind: str, layers: int) -> None:
    defender = MuScleLoRA(**QUICK)
    trained = defender.rebuild(victim(kin(kind, layers)), ROWS, CLEAN, 2)
    plain = load_classifier(str(kin(kind, layers)), 2, seed=42)  # the head, too, is drawn from the seed and stays
    after = trained.model.state_dict()
    moved = {name for name, value in plain.state_dict().items() if not torch.equal(value, after[name])}
    assert len(moved) == 2 * layers + 1
    assert after.keys() == plain.state_dict().keys()
    report = defender.details
    bands = 9 if kind == "roberta" else 8
    assert report["trainable_parameters"] == layers * 2 * (8 * 32 * 2) + bands * 32 * 2
    assert (report["clean_rows"], report["reference_rows"]) == (40, 24)


def test_every_step_is_aligned_to_reference_rows_by_two_passes(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule gets the raw gradients and those of 16 clean rows, and what it makes of them is what is applied."""
    seen: list[tuple[int, float, list[Any], list[Any], list[Any]]] = []
    original = musclelora.align_step

    def spy(parameters: Any, references: Any, loss: float, config: Any, *, epoch: int, epochs: int) -> Any:
        raw = [one.grad.clone() for one in parameters]
        share = original(parameters, references, loss, config, epoch=epoch, epochs=epochs)
        seen.append((epoch, loss, raw, list(references), [one.grad.clone() for one in parameters]))
        return share

    passes = []

    def count(module: Any, *_: Any) -> None:
        passes.append(module.training)

    prepare = musclelora.AlignedAdapters.prepare

    def counted(self: Any, model: Any, *more: Any) -> None:
        prepare(self, model, *more)
        model.register_forward_hook(count)

    monkeypatch.setattr(musclelora, "align_step", spy)
    monkeypatch.setattr(musclelora.AlignedAdapters, "prepare", counted)
    rebuilt(tiny_bert, min_ref_loss=0.0)
    assert [epoch for epoch, *_ in seen] == [0] * 8 + [1] * 8
    assert passes == [True] * 2 * STEPS  # one more pass a step, dropout on in both
    for step, (_, loss, raw, references, applied) in enumerate(seen):
        assert loss > 0
        for g, q, a in zip(raw, references, applied, strict=True):
            assert g.shape == q.shape
            g64, q64 = g.double().flatten().numpy(), q.double().flatten().numpy()
            if not g64.any() or not q64.any():
                assert step == 0  # lora_A, while lora_B is zero
                assert torch.equal(a, g)
                continue
            np.testing.assert_allclose(a.flatten(), abs(g64 @ q64) / (q64 @ q64) * q64, rtol=1e-3, atol=1e-7)


def test_no_flag_is_read(tiny_bert: Path) -> None:
    turned = [[Row(row.text, row.label, 1 - row.poison_label) for row in rows] for rows in (ROWS, CLEAN)]
    assert torch.equal(weights(rebuilt(tiny_bert)), weights(rebuilt(tiny_bert, *turned)))


def test_the_epoch_is_chosen_by_clean_rows_that_are_no_references(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def engine(spec: Any, examples: Any, **more: Any) -> TrainedClassifier:
        seen.append({"spec": spec, **more})
        return TrainedClassifier(None, None, spec)

    monkeypatch.setattr(musclelora, "train_classifier", engine)
    rebuilt(tiny_bert, ckpt="best")
    rebuilt(tiny_bert, ckpt="best", clean_rows=30)
    rebuilt(tiny_bert, ckpt="best", clean_rows=20)
    for call, references, choosing in zip(seen, (24, 24, 20), (16, 6, 0), strict=True):
        kept = {(row.text, row.label) for row in CLEAN}
        assert (len(call["method"].rows), len(call["dev"])) == (references, choosing)
        assert len({*call["method"].rows, *call["dev"]}) == references + choosing
        assert {*call["method"].rows, *call["dev"]} <= kept
    assert [call["spec"].ckpt for call in seen] == ["best"] * 3


def test_no_global_random_number_is_drawn_and_a_second_run_is_the_same(tiny_bert: Path) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again, other = rebuilt(tiny_bert), rebuilt(tiny_bert), rebuilt(tiny_bert, seed=43)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def stored(path: Path, store: Store, progress: Steps | None = None, **keys: Any) -> TrainedClassifier:
    defender = MuScleLoRA(**{**QUICK, **keys})
    defender.store, defender.progress = store, progress or Steps()
    return defender.rebuild(victim(path), ROWS, CLEAN, 2)


def test_it_is_kept_like_any_victim(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Steps()
    first = stored(tiny_bert, Store(tmp_path), listener)
    assert listener.stages == ["MuScleLoRA: train on 120 rows, 24 clean reference rows"]
    assert listener.seen == list(range(1, STEPS + 1))

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(training, "_train", forbidden)
    again = stored(tiny_bert, Store(tmp_path))
    assert again.from_store
    texts = [row.text for row in TEST]
    np.testing.assert_array_equal(again.logits(texts), first.logits(texts))
    for other in ({"min_ref_loss": 0.3}, {"ref_sample": 23}, {"r": 4}, {"bands": [1, 2]}, {"seed": 1}):
        with pytest.raises(AssertionError, match="trained again"):
            stored(tiny_bert, Store(tmp_path), **other)


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rebuilt(tiny_bert)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        stored(tiny_bert, Store(tmp_path), Steps(stop_after=8))
    listener = Steps()
    resumed = stored(tiny_bert, Store(tmp_path), listener)
    assert listener.seen[0] == 9
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=1e-5, atol=1e-6)
