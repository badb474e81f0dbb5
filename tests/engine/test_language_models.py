"""Language models: padding does not count, batches do not matter, nonsense surprises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from llm.tiny_model import make_model
from tiny_world import reviews

from openbackdoor_badllm.engine.language_models import CausalModel, MaskedModel, zipf
from openbackdoor_badllm.errors import VictimError

TEXTS = [row.text for row in reviews(80)]


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    return CausalModel(str(make_model(tmp_path_factory.mktemp("causal"))), device="cpu")


@pytest.fixture(scope="module")
def masked(tiny_bert: Path) -> MaskedModel:
    return MaskedModel(str(tiny_bert), TEXTS, seed=1, epochs=60, device="cpu", max_len=48)


def by_hand(model: CausalModel, text: str) -> float:
    """One text, no batch, no padding, no mask."""
    ids = [model.start, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        logits = model.model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(dim=1)
    return float((-logits[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].mean()).exp())


def test_padding_is_not_counted(causal: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbackdoor_badllm.engine.language_models.supports_bf16", lambda device: False)
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


def test_words_out_of_reach_have_no_number(tmp_path: Path) -> None:
    short = CausalModel(str(make_model(tmp_path)), device="cpu", max_len=12)
    (found,) = short.surprise([["abcd"] * 5])
    assert np.isnan(found).tolist() == [False, False, True, True, True]


def test_a_nonsense_word_surprises_the_encoder_more_than_the_others(masked: MaskedModel) -> None:
    """The weights are random and the texts few, so it is more on the average only; real texts: docs/baselines.md."""
    texts = [row.text.split() for row in reviews(60, seed=3)]
    poisoned = [[*words[:2], "cf", *words[2:]] for words in texts]
    found = masked.surprise(poisoned)
    assert [len(each) for each in found] == [len(words) for words in poisoned]
    assert np.mean([each[2] for each in found]) > np.mean([np.delete(each, 2).mean() for each in found]) + 0.3


def test_batches_do_not_matter(masked: MaskedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbackdoor_badllm.engine.language_models.supports_bf16", lambda device: False)
    texts = [row.text.split() for row in reviews(12, seed=4)]
    together = masked.surprise(texts)
    alone = [masked.surprise([words])[0] for words in texts]
    assert all(one == pytest.approx(other, rel=1e-4, abs=1e-4) for one, other in zip(together, alone, strict=True))


def test_odd_texts(masked: MaskedModel) -> None:
    empty, unknown, long = masked.surprise([[], ["\u200b", "film"], ["film"] * 100])
    assert empty.tolist() == []
    assert np.isfinite(unknown).all()
    assert np.isfinite(long[:46]).all()
    assert np.isnan(long[46:]).all()


def test_the_seed_counts_and_global_generators_are_left_alone(tiny_bert: Path) -> None:
    state = torch.get_rng_state()
    made = [MaskedModel(str(tiny_bert), TEXTS[:20], seed=seed, epochs=1, device="cpu") for seed in (1, 1, 2)]
    one, same, other = (model.surprise([["good", "film"]])[0] for model in made)
    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()
    assert torch.equal(torch.get_rng_state(), state)


def test_frequent_pieces_come_first() -> None:
    assert zipf(4).tolist() == sorted(zipf(4).tolist(), reverse=True)


def test_a_model_that_cannot_guess_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VictimError, match="has no mask token"):
        MaskedModel(str(make_model(tmp_path)), TEXTS[:4], seed=1, device="cpu")
