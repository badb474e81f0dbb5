"""Sentence vectors of a frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from openbackdoor_badllm.training.embedding import Embedder

TEXTS = ["good film", "the plot was very very long", "good film", "", "bad"]


@pytest.fixture(scope="module")
def embedder(tiny_bert: Path) -> Embedder:
    return Embedder(str(tiny_bert), device="cpu")


def test_mean_pooled_and_of_length_one(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (5, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    with torch.inference_mode():
        inputs = embedder.tokenizer(TEXTS[1], return_tensors="pt")
        pooled = embedder.model(**inputs).last_hidden_state[0].mean(0).numpy()
    # bfloat16 where the CPU has it, so the agreement is to two digits.
    np.testing.assert_allclose(vectors[1], pooled / np.linalg.norm(pooled), atol=0.02)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[4]).max() > 0.05
