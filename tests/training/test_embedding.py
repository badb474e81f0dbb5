"""Sentence vectors of a frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training import embedding
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


def test_a_text_is_encoded_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = embedding.encode

    def counting(tokenizer: object, texts: list[str], max_len: int) -> list[list[int]]:
        asked.extend(texts)
        return original(tokenizer, texts, max_len)

    monkeypatch.setattr(embedding, "encode", counting)
    first = embedder.embed(["fine plot", "so so", "fine plot"])
    again = embedder.embed(["so so", "fine plot"])
    assert asked == ["fine plot", "so so"]
    np.testing.assert_array_equal(again, first[[1, 0]])


def test_no_texts(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, 32)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(VictimError, match=r"has no config\.json"):
        Embedder(str(tmp_path))
