"""The layers of a victim: reading and changing them, for three architectures of several depths."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import reviews

from openbackdoor_badllm.training.layers import (
    changed_layers,
    encoder_layers,
    first_token_states,
    written_out_attention,
)
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer

Kin = Callable[[str, int], Path]
each_kind = pytest.mark.parametrize(("kind", "layers"), [("bert", 1), ("bert", 3), ("roberta", 2), ("distilbert", 3)])
TEXTS = [row.text for row in reviews(11)]


def scorer(folder: Path, batch_tokens: int = 2048) -> Scorer:
    model = load_classifier(str(folder), 2, seed=1)
    return Scorer(model, load_tokenizer(str(folder)), max_len=20, batch_tokens=batch_tokens)


@each_kind
def test_every_block_is_found(kin: Kin, kind: str, layers: int) -> None:
    assert len(encoder_layers(scorer(kin(kind, layers)).model)) == layers


@each_kind
@pytest.mark.parametrize("batch_tokens", [30, 2048])
def test_states_are_those_that_the_model_shows(kin: Kin, kind: str, layers: int, batch_tokens: int) -> None:
    """The embeddings are left out, and batches of texts of any length give what each text gives alone."""
    opened = scorer(kin(kind, layers), batch_tokens)
    states = np.zeros((len(TEXTS), layers * 32), dtype=np.float32)
    seen: list[int] = []
    for batch, found, _ in first_token_states(opened, TEXTS):
        states[batch] = found.numpy()
        seen += batch
    assert sorted(seen) == list(range(len(TEXTS)))
    for row, text in zip(states, TEXTS, strict=True):
        inputs = opened.tokenizer(text, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            hidden = opened.model.eval()(**inputs, output_hidden_states=True).hidden_states
        assert len(hidden) == layers + 1
        expected = torch.cat([layer[0, 0] for layer in hidden[1:]])
        np.testing.assert_allclose(row, expected, atol=1e-5)


@each_kind
def test_a_change_reaches_the_next_block_and_ends_with_the_block(kin: Kin, kind: str, layers: int) -> None:
    opened = scorer(kin(kind, layers))
    plain = opened.logits(TEXTS)
    seen: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []

    def zero(number: int, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        seen.append((number, tuple(hidden.shape[:2]), tuple(attended.shape[:2])))
        return torch.zeros_like(hidden)

    with changed_layers(opened.model, zero):
        changed = opened.logits(TEXTS)
    assert [number for number, _, _ in seen] == list(range(layers))
    assert all(shape == mask for _, shape, mask in seen)
    np.testing.assert_allclose(changed, changed[:1].repeat(len(TEXTS), axis=0), atol=1e-6)  # nothing of a text is left
    assert not np.allclose(changed, plain, atol=1e-3)
    assert opened.logits(TEXTS).tolist() == plain.tolist()


@each_kind
def test_attention_written_out_computes_the_same_and_is_put_back(kin: Kin, kind: str, layers: int) -> None:
    opened = scorer(kin(kind, layers), 2048)
    used = opened.model.config._attn_implementation
    before = opened.logits(TEXTS)
    with suppress(ZeroDivisionError), written_out_attention(opened.model):
        assert opened.model.config._attn_implementation == "eager"
        np.testing.assert_allclose(opened.logits(TEXTS), before, atol=1e-5)
        raise ZeroDivisionError
    assert opened.model.config._attn_implementation == used
    assert opened.logits(TEXTS).tolist() == before.tolist()
