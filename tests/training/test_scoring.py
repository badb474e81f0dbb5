"""Texts in, logits out: fast must be the same as slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.training.scoring import Scorer, length_batches, log_odds, log_softmax, softmax
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer

TEXTS = ["good film", "bad", "the plot was very very long and it was bad", "", "good film", "a film , so fine .", "bad"]


@pytest.fixture(scope="module")
def scorer(tiny_bert: Path) -> Scorer:
    model = load_classifier(str(tiny_bert), 3, seed=1)
    return Scorer(model, load_tokenizer(str(tiny_bert)), max_len=16, batch_tokens=24)


def one_by_one(scorer: Scorer, texts: list[str]) -> np.ndarray:
    scorer.model.eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                scorer.model(**scorer.tokenizer(text, return_tensors="pt", truncation=True, max_length=16)).logits
                for text in texts
            ]
        )


def test_batched_logits_are_those_of_single_texts_in_order(scorer: Scorer) -> None:
    logits = scorer.logits(TEXTS)
    assert logits.shape == (len(TEXTS), 3)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, one_by_one(scorer, TEXTS), atol=1e-5)
    np.testing.assert_allclose(scorer.logits(TEXTS[::-1]), logits[::-1], atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-2  # else the comparison says nothing


def test_duplicates_are_scored_once(scorer: Scorer) -> None:
    before = scorer.forwards
    logits = scorer.logits(TEXTS)
    assert scorer.forwards - before == len(set(TEXTS))
    np.testing.assert_array_equal(logits[0], logits[4])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_dropout_is_off_meanwhile(scorer: Scorer, training: bool) -> None:
    scorer.model.train(training)
    first, second = scorer.logits(TEXTS), scorer.logits(TEXTS)
    assert scorer.model.training is training
    np.testing.assert_array_equal(first, second)


@given(lengths=st.lists(st.integers(1, 50), max_size=60), bound=st.integers(1, 200))
def test_no_batch_exceeds_its_bound(lengths: list[int], bound: int) -> None:
    batches = length_batches(lengths, bound)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= bound or len(batch) == 1  # a text longer than the bound goes alone
    if lengths and max(lengths) <= bound:
        least = -(-sum(lengths) // bound)
        assert len(batches) >= least


def test_softmax_is_stable_and_sums_to_one() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, -1000.0], [1.0, 2.0]], dtype=np.float32)
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(probabilities[2], [0.26894143, 0.7310586], rtol=1e-5)
    np.testing.assert_allclose(log_softmax(logits)[0], [0.0, -1000.0])
    assert softmax(np.zeros((0, 4), dtype=np.float32)).shape == (0, 4)


def test_log_odds() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    assert log_odds(logits, 0) == pytest.approx([2.0, 0.0])
    three = np.log(np.array([[0.2, 0.5, 0.3]], dtype=np.float32))
    assert log_odds(three, 1) == pytest.approx([0.0], abs=1e-6)
