"""The gradient alignment of MuScleLoRA, against hand computations and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import reviews

from openbackdoor_badllm.defenders.musclelora.alignment import (
    AlignmentConfig,
    References,
    align_step,
    aligned,
    reference_gradients,
)
from openbackdoor_badllm.rows import blind
from openbackdoor_badllm.training.rng import isolated_rng

PAPER = AlignmentConfig()


def parameter(*gradient: float) -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.zeros(len(gradient)))
    made.grad = torch.tensor(gradient, dtype=torch.float32)
    return made


def grads(parameters: list[torch.nn.Parameter]) -> list[list[float]]:
    return [[] if one.grad is None else one.grad.tolist() for one in parameters]


@pytest.mark.parametrize(
    ("g", "q", "expected"),
    [
        ([3.0, 4.0], [2.0, 0.0], [3.0, 0.0]),
        ([3.0, 4.0], [-2.0, 0.0], [-3.0, 0.0]),  # against q: as long as the projection, but along +q
        ([1.0, 1.0], [1.0, -1.0], [0.0, 0.0]),  # at a right angle nothing is left
        ([3.0, 4.0], [0.0, 0.0], [3.0, 4.0]),
        ([0.0, 0.0], [1.0, 2.0], [0.0, 0.0]),
    ],
)
def test_the_projection_by_hand(g: list[float], q: list[float], expected: list[float]) -> None:
    assert aligned(torch.tensor(g), torch.tensor(q)).tolist() == expected


def test_the_projection_of_matrices() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        g, q = rng.normal(size=(2, 5, 3)) * 10.0 ** rng.integers(-4, 4)
        cosine = (g * q).sum() / np.linalg.norm(g) / np.linalg.norm(q)
        expected = abs(np.linalg.norm(g) * cosine / np.linalg.norm(q)) * q
        np.testing.assert_allclose(aligned(torch.tensor(g), torch.tensor(q)).numpy(), expected, rtol=1e-10)


def test_the_share_of_the_raw_gradient() -> None:
    shares = [PAPER.raw_share(epoch, 10) for epoch in range(10)]
    assert shares == pytest.approx([0, 0, *(0.1 * k / 9 for k in range(1, 9))])
    assert shares[2] == pytest.approx(0.0111, abs=1e-4)
    assert shares[9] == pytest.approx(0.0889, abs=1e-4)
    assert PAPER.raw_share(0, 1) == 0  # one epoch: no division by 0
    assert AlignmentConfig(ga_epoch=5, max_raw_grad_ratio=0.2).raw_share(9, 10) == pytest.approx(0.2 * 4 / 5)


@pytest.mark.parametrize("epoch", [0, 9])
def test_a_high_reference_loss_aligns_wholly(epoch: int) -> None:
    one = parameter(3, 4)
    assert align_step([one], [torch.tensor([-2.0, 0.0])], 0.41, PAPER, epoch=epoch, epochs=10) == 0
    assert grads([one]) == [[-3, 0]]


def test_a_low_reference_loss_leaves_the_first_epoch_alone_and_mixes_later() -> None:
    one = parameter(3, 4)
    assert align_step([one], [torch.tensor([-2.0, 0.0])], 0.4, PAPER, epoch=0, epochs=10) is None
    assert grads([one]) == [[3, 4]]
    share = align_step([one], [torch.tensor([-2.0, 0.0])], 0.4, PAPER, epoch=9, epochs=10)
    assert share == pytest.approx(0.8 / 9)
    assert grads([one])[0] == pytest.approx([(1 - 0.8 / 9) * -3 + 0.8 / 9 * 3, 0.8 / 9 * 4])


def test_the_mean_norm_leaves_out_tensors_without_a_reference() -> None:
    """With the zero counted the mean would be 4e-7, below the bound."""
    pair = [parameter(3, 4), parameter(1, 0)]
    references = [torch.tensor([8e-7, 0.0]), torch.zeros(2)]
    assert align_step(pair, references, 9.0, PAPER, epoch=0, epochs=10) == 0
    assert grads(pair)[0] == pytest.approx([3, 0], rel=1e-3)
    small = parameter(3, 4)
    assert align_step([small], [torch.tensor([4e-7, 0.0])], 9.0, PAPER, epoch=0, epochs=10) is None


class Words:
    """A tokenizer of one token a word."""

    pad_token_id = 0

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


def references(**keys: Any) -> References:
    rows = blind(reviews(10))
    return References(Words(), rows, 16, **{"batch_size": 4, "seed": 1, "one_batch": True, **keys})


def test_reference_batches() -> None:
    one = list(references().batches(3))
    assert [len(batch["labels"]) for batch in one] == [4]
    again = next(references().batches(3))
    assert all(torch.equal(again[key], one[0][key]) for key in again)
    assert any(not torch.equal(next(references().batches(step))["labels"], one[0]["labels"]) for step in range(9))
    everything = list(references(one_batch=False).batches(3))
    assert [len(batch["labels"]) for batch in everything] == [4, 4, 2]
    assert sorted(int(label) for batch in everything for label in batch["labels"]) == [0] * 5 + [1] * 5


def test_reference_gradients_touch_no_other() -> None:
    with isolated_rng(0):
        weight, unused = torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(3)

    def loss_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return (batch["labels"].float().sum() + 1) * (weight**2).sum()

    loss, found = reference_gradients(loss_of, [weight, unused], references(one_batch=False), step=0)
    factors = [float(batch["labels"].sum()) + 1 for batch in references(one_batch=False).batches(0)]
    assert loss == pytest.approx(np.mean(factors) * float((weight**2).sum()))
    assert found[0] is not None
    np.testing.assert_allclose(found[0], np.mean(factors) * 2 * weight.detach(), rtol=1e-6)
    assert found[1] is None
    assert weight.grad.tolist() == [1, 1, 1]
