"""Language models: padding does not count, batches do not matter, nonsense surprises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from llm.tiny_model import make_model

from openbackdoor_badllm.defenders.onion.language_models import CONTEXT, STRIDE, CausalModel, MaskedModel, zipf


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    return CausalModel(str(make_model(tmp_path_factory.mktemp("causal"))), device="cpu")


@pytest.fixture(scope="module")
def masked(tiny_bert: Path) -> MaskedModel:
    return MaskedModel(str(tiny_bert), device="cpu", max_len=48)


def by_hand(model: CausalModel, text: str) -> float:
    """One text, no batch, no padding, no mask."""
    ids = [model.start, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        logits = model.model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(dim=1)
    return float((-logits[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].mean()).exp())


def test_padding_is_not_counted(causal: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbackdoor_badllm.defenders.onion.language_models.supports_bf16", lambda device: False)
    texts = ["a", "a film about a very long story of the actor and the scene", "so dull"]
    together = causal.perplexity(texts)
    assert together == pytest.approx([by_hand(causal, text) for text in texts], rel=1e-4)
    assert together == pytest.approx([causal.perplexity([text])[0] for text in texts], rel=1e-4)


def test_surprise_is_the_perplexity_less_that_without_the_word(causal: CausalModel) -> None:
    (found, empty, one) = causal.surprise([["so", "cf", "dull"], [], ["so"]])
    whole = causal.perplexity(["so cf dull"])[0]
    assert found == pytest.approx(whole - causal.perplexity(["cf dull", "so dull", "so cf"]), rel=1e-3, abs=1e-3)
    assert empty.tolist() == []
    assert one == pytest.approx(causal.perplexity(["so"])[0] - 1.0, rel=1e-3)
    assert causal.perplexity([]).tolist() == []


def test_a_words_number_is_that_of_its_pieces_at_its_masked_place(
    masked: MaskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: one text, one word masked at a time where no other word is masked beside it."""
    monkeypatch.setattr("openbackdoor_badllm.defenders.onion.language_models.supports_bf16", lambda device: False)
    words = ["good", "film", "cf", "story"]  # fewer than STRIDE: each pass masks one
    (found,) = masked.surprise([words])
    table = masked.model.get_input_embeddings().weight.detach()
    for place in range(len(words)):
        pieces = [masked.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
        ids = [masked.tokenizer.cls_token_id]
        for other, part in enumerate(pieces):
            if other == place:
                start = len(ids)
            ids += [masked.mask] * len(part) if other == place else part
        ids.append(masked.tokenizer.sep_token_id)
        with torch.no_grad():
            hidden = masked.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        values = []
        for offset, piece in enumerate(pieces[place]):
            state = hidden[start + offset]
            state = (state - state.mean()) / (state.var(unbiased=False) + 1e-5).sqrt()
            logits = table @ state * CONTEXT / len(state) ** 0.5 + zipf(len(table))
            values.append(float(-logits.log_softmax(dim=0)[piece]))
        assert found[place] == pytest.approx(np.mean(values), rel=1e-4)


def test_every_fifth_word_is_masked_in_one_pass(masked: MaskedModel) -> None:
    """Five passes a text, however long it is; every word gets its number."""
    passes = 0

    def count(_module: object, _args: object, inputs: dict[str, torch.Tensor]) -> None:
        nonlocal passes
        passes += len(inputs["input_ids"])

    handle = masked.model.register_forward_pre_hook(count, with_kwargs=True)
    (found,) = masked.surprise([["film"] * 33])
    handle.remove()
    assert passes == STRIDE == 5
    assert np.isfinite(found).all()


def test_words_out_of_reach_have_no_number(tmp_path: Path) -> None:
    short = CausalModel(str(make_model(tmp_path)), device="cpu", max_len=12)
    (found,) = short.surprise([["abcd"] * 5])
    assert np.isnan(found).tolist() == [False, False, True, True, True]
