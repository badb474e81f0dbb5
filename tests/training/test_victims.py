"""Loading a victim, and the sentence for each way in which that can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training import victims
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer, resolve, resolve_auto


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}", encoding="utf-8")
    return path


def test_folder_without_weights(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", "config.json")
    with pytest.raises(VictimError, match=r"holds no safetensors weights: add model\.safetensors"):
        resolve(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "victim.pt", "victim.ckpt"])
def test_folder_with_pickled_weights_only(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path / "m", "config.json", name)
    with pytest.raises(VictimError, match=r"pickled weights, which are never loaded; convert them to safetensors"):
        resolve(str(folder))


def test_hub_name_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'.\nSecond line.")

    monkeypatch.setattr(victims.huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(VictimError) as caught:
        load_tokenizer("no-such-model")
    message = str(caught.value)
    assert message.startswith("The victim 'no-such-model' cannot be fetched from the model hub (We couldn't connect")
    assert "\n" not in message
    assert "Second" not in message


def test_a_new_head_is_drawn_from_the_seed_alone(tiny_bert: Path) -> None:
    torch.manual_seed(1)
    first = load_classifier(str(tiny_bert), 4, seed=7)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = load_classifier(str(tiny_bert), 4, seed=7)
    other = load_classifier(str(tiny_bert), 4, seed=8)
    assert first.classifier.weight.shape == (4, 32)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert torch.equal(first.bert.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_auto_is_minilm_without_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr(victims.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(victims.huggingface_hub, "get_hf_file_metadata", refuse)
    assert resolve_auto("auto") == "minilm"
    assert resolve_auto("bert-large-uncased") == "bert-large-uncased"
    monkeypatch.setattr(victims.huggingface_hub, "get_hf_file_metadata", lambda *_, **__: object())
    assert resolve_auto("auto") == "bert-base-uncased"
    monkeypatch.setattr(victims.huggingface_hub, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(victims.huggingface_hub, "try_to_load_from_cache", lambda *_: "/cache/config.json")
    assert resolve_auto("auto") == "bert-base-uncased"  # cached: the hub is not asked


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """transformers makes an empty tokenizer of it, and every text becomes the same."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(VictimError, match="holds no tokenizer: add tokenizer"):
        victims.load_tokenizer(str(tmp_path))
