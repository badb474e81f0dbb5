"""Purification: the interval, how it is learnt, and that the victim is left as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import reviews

from openbackdoor_badllm.defenders.badacts.purification import Bounds, Learning, learn_bounds
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer

Kin = Callable[[str, int], Path]
ROWS = blind(reviews(24))
TEXTS = [row.text for row in ROWS]
QUICK = Learning(epochs=2, batch_size=8, accept_accuracy=0, max_retries=0)


@pytest.fixture(params=[("bert", 3), ("roberta", 1), ("distilbert", 2)], ids=lambda kind: kind[0])
def scorer(request: pytest.FixtureRequest, kin: Kin) -> Scorer:
    folder = str(kin(*request.param))
    return Scorer(load_classifier(folder, 2, seed=1), load_tokenizer(folder), max_len=20, batch_tokens=128)


@pytest.fixture
def bert(kin: Kin) -> Scorer:
    folder = str(kin("bert", 3))
    return Scorer(load_classifier(folder, 2, seed=1), load_tokenizer(folder), max_len=20, batch_tokens=128)


def layers(scorer: Scorer) -> int:
    return int(scorer.model.config.num_hidden_layers)


def said(scorer: Scorer) -> list[Example]:
    """Rows that the victim has right: labelled as it says."""
    return [Example(text, int(k)) for text, k in zip(TEXTS, scorer.logits(TEXTS).argmax(axis=1), strict=True)]


def some_bounds(scorer: Scorer) -> Bounds:
    generator = torch.Generator().manual_seed(0)
    upper = torch.rand(layers(scorer), 32, generator=generator)
    return Bounds(upper - 1, upper)


def test_the_interval_by_hand() -> None:
    hidden = torch.tensor([[[-5.0, 5.0], [0.5, -5.0], [7.0, 7.0]]])
    attended = torch.tensor([[[True], [True], [False]]])
    bounds = Bounds(torch.tensor([[9.0, 9.0], [-1.0, 0.0]]), torch.tensor([[9.0, 9.0], [1.0, 2.0]]))
    clipped = bounds.clip()(1, hidden, attended)
    assert clipped.tolist() == [[[-1, 2], [0.5, 0], [7, 7]]]  # its own layer's interval; padding as it was


def test_every_block_is_clipped_before_the_next_one(bert: Scorer) -> None:
    """Against a forward pass written out by hand, one text at a time, all of its tokens."""
    bounds = some_bounds(bert)
    model = bert.model.eval()
    expected = []
    for text in TEXTS:
        ids = torch.tensor(bert.tokenizer([text])["input_ids"])
        with torch.no_grad():
            hidden = model.bert.embeddings(ids)
            for number, layer in enumerate(model.bert.encoder.layer):
                hidden = layer(hidden)
                hidden = np.maximum(np.minimum(hidden, bounds.upper[number]), bounds.lower[number])
            expected.append(model.classifier(model.bert.pooler(hidden))[0].numpy())
    np.testing.assert_allclose(bounds.logits(bert, TEXTS), expected, atol=1e-4)


def test_the_first_steps_follow_the_published_loss(bert: Scorer) -> None:
    """Adam on MSE(clipped logits, logits) + c ||exp(g)||_F, written out again."""
    rows = said(bert)
    settings = Learning(epochs=2, batch_size=64, lr=0.05, c=0.3, accept_accuracy=0, max_retries=0)
    found = learn_bounds(bert, rows, settings, seed=1).bounds
    u, g = (torch.ones(3, 32, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([u, g], lr=0.05)
    model = bert.model.eval()
    for _ in range(2):
        total = torch.tensor(0.0)
        for text in TEXTS:
            ids = torch.tensor(bert.tokenizer([text])["input_ids"])
            hidden = model.bert.embeddings(ids)
            for number, layer in enumerate(model.bert.encoder.layer):
                hidden = torch.maximum(torch.minimum(layer(hidden), u[number]), u[number] - g[number].exp())
            clipped = model.classifier(model.bert.pooler(hidden))
            total = total + ((clipped - model(ids).logits.detach()) ** 2).mean()
        loss = total / len(TEXTS) + 0.3 * torch.sqrt((g.exp() ** 2).sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(found.upper, u.detach(), atol=2e-3)
    np.testing.assert_allclose(found.lower, (u - g.exp()).detach(), atol=5e-3)


def test_the_same_seed_gives_the_same_bounds_and_no_global_state_moves(scorer: Scorer) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again, other = (learn_bounds(scorer, said(scorer), QUICK, seed=seed).bounds for seed in (1, 1, 2))
    assert torch.equal(first.upper, again.upper)
    assert torch.equal(first.lower, again.lower)
    assert not torch.equal(first.upper, other.upper)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def test_only_rows_that_the_victim_has_right_are_used(bert: Scorer) -> None:
    rows = said(bert)
    wrong = [Example(row.text, 1 - row.label) for row in rows[:10]]
    mixed = learn_bounds(bert, [*wrong, *rows[10:]], QUICK, seed=1)
    assert mixed.rows == len(rows) - 10
    # Not equal to the last digit: a text's batch, and with it its padding, is another one.
    expected = learn_bounds(bert, rows[10:], QUICK, seed=1).bounds.upper
    np.testing.assert_allclose(mixed.bounds.upper, expected, atol=2e-3)
    with pytest.raises(DataError, match=r"^The victim has none of the 10 clean rows right"):
        learn_bounds(bert, wrong, QUICK, seed=1)


@pytest.mark.parametrize(("keep", "factor"), [(0.0, 1.2**2), (1.1, 1.2**-2)])
def test_the_weight_of_the_width_is_changed_after_the_epochs_15_and_20(
    bert: Scorer, keep: float, factor: float
) -> None:
    settings = Learning.model_construct(epochs=25, batch_size=64, keep_accuracy=keep, accept_accuracy=0)
    (only,) = learn_bounds(bert, said(bert), settings, seed=1).tries
    assert only.c == 0.1
    assert only.final_c == pytest.approx(0.1 * factor)
    whole = Learning.model_construct(epochs=50, batch_size=64, keep_accuracy=keep, accept_accuracy=0)
    seven = learn_bounds(bert, said(bert)[:4], whole, seed=1).tries[0].final_c
    assert seven == pytest.approx(0.1 * (factor**0.5) ** 7)
