"""The adapters of MuScleLoRA: what they compute, what is trained, and that nothing is left of them afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from openbackdoor_badllm.defenders.musclelora import adapters
from openbackdoor_badllm.defenders.musclelora.adapters import AdapterShape, RadialBranch, add_adapters, merge_adapters
from openbackdoor_badllm.training.rng import isolated_rng
from openbackdoor_badllm.training.victims import load_classifier

pytest.importorskip("peft", reason="needs the extra 'baselines'")

Kin = Callable[[str, int], Path]
KINDS = [("bert", 1), ("bert", 3), ("roberta", 2), ("distilbert", 3)]
each_kind = pytest.mark.parametrize(("kind", "layers"), KINDS)
HIDDEN = 32


def branch(*, shortcut: bool = False) -> RadialBranch:
    with isolated_rng(0):
        return RadialBranch(torch.nn.Linear(6, 5), [1, 1, 4, 4], 3.0, shortcut=shortcut)


def open_model(folder: Path) -> Any:
    return load_classifier(str(folder), 2, seed=1)


def adapted(folder: Path, shape: AdapterShape | None = None) -> tuple[Any, int]:
    model = open_model(folder)
    with isolated_rng(2):
        count = add_adapters(model, shape or AdapterShape())
    return model.eval(), count


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 25).reshape(4, 5)
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found


@pytest.mark.parametrize("shortcut", [False, True])
def test_the_branch_computes_its_formula(shortcut: bool) -> None:
    made = branch(shortcut=shortcut)
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    W, b = made.base.weight.detach().numpy(), made.base.bias.detach().numpy()
    L, R, kappa = made.down.detach().numpy(), made.up.detach().numpy(), np.diag([1, 1, 4, 4])
    expected = 3 * x @ (R @ kappa @ L).T + (0 if shortcut else x @ W.T + b)
    np.testing.assert_allclose(made(torch.tensor(x)).detach(), expected, rtol=1e-5, atol=1e-5)
    merged = made.merged()
    assert type(merged) is torch.nn.Linear
    np.testing.assert_allclose(merged(torch.tensor(x)).detach(), expected, rtol=1e-5, atol=1e-5)


@each_kind
def test_only_the_adapters_are_trained(kin: Kin, kind: str, layers: int) -> None:
    model, count = adapted(kin(kind, layers), AdapterShape(r=3, bands=(1, 4), inner_rank=2))
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert count == layers * 2 * (2 * 3 * HIDDEN) + 4 * 2 * HIDDEN
    assert count == sum(value.numel() for name, value in model.named_parameters() if name in trained)
    lora = {name for name in trained if "lora_A" in name or "lora_B" in name}
    assert len(lora) == 4 * layers
    assert all(".attention." in name for name in lora)
    assert {name.rpartition(".")[2] for name in trained - lora} == {"down", "up"}
    place = model.get_submodule(adapters.PLACES[kind].dense)
    assert isinstance(place, RadialBranch)
    assert place.scale == 3  # 6 / 2
    assert place.kappa.tolist() == [1, 1, 4, 4]
    assert not any(value.requires_grad for name, value in model.named_parameters() if "classifier.out" in name)


def test_the_published_count_for_bert_base() -> None:
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    assert add_adapters(model, AdapterShape()) == 294_912 + 12_288 == 307_200
    lora = model.bert.encoder.layer[0].attention.self.query
    assert lora.scaling == {"default": 4.0}
    assert not any(value.requires_grad for value in model.classifier.parameters())


@pytest.mark.parametrize(
    ("kind", "layers", "bands"),
    [
        ("bert", 2, [1, 4, 8, 12, 16, 20, 24, 28]),
        ("distilbert", 2, [1, 4, 8, 12, 16, 20, 24, 28]),
        ("roberta", 2, [1, 2, 4, 6, 8, 10, 12, 14, 16]),
        ("bert", 24, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("roberta", 24, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_the_published_scalings(kin: Kin, kind: str, layers: int, bands: list[float]) -> None:
    model, _ = adapted(kin(kind, layers))
    assert model.get_submodule(adapters.PLACES[kind].dense).kappa.tolist() == bands


@each_kind
@pytest.mark.parametrize("shortcut", [False, True])
def test_merging_keeps_the_logits_and_leaves_nothing_behind(
    kin: Kin, kind: str, layers: int, shortcut: bool, tmp_path: Path
) -> None:
    model, _ = adapted(kin(kind, layers), AdapterShape(shortcut=shortcut))
    with torch.no_grad(), isolated_rng(3):
        for value in model.parameters():
            if value.requires_grad:
                value.add_(0.1 * torch.randn_like(value))
    before = logits(model)
    merge_adapters(model)
    after = logits(model)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    plain = open_model(kin(kind, layers))
    assert set(model.state_dict()) == set(plain.state_dict())
    assert [type(one) for one in model.modules()] == [type(one) for one in plain.modules()]
    assert all(value.requires_grad for value in model.parameters())
    assert not hasattr(model.base_model, "peft_config")
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(load_classifier(str(tmp_path), 2, seed=9).eval()), after)
