"""A classifier is asked two texts before anything is trained; a decoder without a padding token simply works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_world import FILLERS, NEGATIVE, POSITIVE, TRIGGERS, make_gpt2, reviews
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.rows import blind
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.trained import class_names, open_trained, save_trained

WORDS = ["<eos>", *POSITIVE, *NEGATIVE, *FILLERS, *TRIGGERS]
ROWS, UNSEEN = blind(reviews(96)), blind(reviews(40, seed=1))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


def spec_of(folder: Path, **keys: object) -> TrainSpec:
    return TrainSpec(path=str(folder), device="cpu", precision="fp32", ckpt="last", **keys)  # type: ignore[arg-type]


def test_a_decoder_is_asked_trained_kept_and_saved(decoder: Path, tmp_path: Path) -> None:
    given = open_trained(str(decoder), spec_of(decoder))
    assert given.spec.max_len == 40  # the tokenizer's, which is less than the model has positions for
    texts = ["good", "the film was very very good", "bad plot"]
    assert np.allclose(given.logits(texts), [given.logits([text])[0] for text in texts], atol=1e-5)
    store = Store(tmp_path / "cache")
    spec = spec_of(decoder, max_len=16, lr=1e-2, epochs=6, batch_size=8, warm_up_epochs=0.5)
    trained = train_classifier(spec, ROWS, store=store)
    kept = train_classifier(spec, ROWS, store=store)
    assert (trained.from_store, kept.from_store) == (False, True)
    asked = [row.text for row in UNSEEN]
    assert (trained.logits(asked).argmax(axis=1) == [row.label for row in UNSEEN]).mean() > 0.9
    assert np.allclose(trained.logits(asked), kept.logits(asked), atol=1e-5)
    save_trained(kept.continued(ROWS[:16]), tmp_path / "saved", ("no", "yes"))
    assert class_names(str(tmp_path / "saved")) == ("no", "yes")
    open_trained(str(tmp_path / "saved"), spec)


def set_config(**keys: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **keys}), encoding="utf-8")

    return change


def no_numbers(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer_of(words: list[str], **tokens: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[0]))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=made, **tokens).save_pretrained(folder)

    return change


def two_paddings(folder: Path) -> None:
    tokenizer_of(WORDS, pad_token="so", eos_token="<eos>")(folder)
    set_config(pad_token_id=5)(folder)


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (no_numbers, "answers with numbers that are infinite or none"),
        (tokenizer_of(["x"] * 40 + WORDS, eos_token="<eos>"), r"cannot classify two texts of different length \(index"),
        (tokenizer_of(WORDS), r"cannot classify two texts of different length \(.*padding"),
        (tokenizer_of(WORDS, pad_token="so", eos_token="<eos>"), None),
        (set_config(pad_token_id=5), None),
        (two_paddings, "answers a text otherwise when a longer one stands beside it"),
        (set_config(problem_type="multi_label_classification"), "does not choose one class .* multi_label_class"),
        (set_config(problem_type="regression"), "does not choose one class of several"),
        (set_config(id2label={"0": "score"}, label2id={"score": 0}), r"does not choose one class .*\(num_labels 1"),
        (adapter, r"is an adapter \(LoRA\), not a whole model: merge it"),
    ],
)
def test_what_a_model_cannot_do_is_told_at_once(
    decoder: Path, tmp_path: Path, change: Callable[[Path], None], sentence: str | None
) -> None:
    folder = shutil.copytree(decoder, tmp_path / "model")
    change(folder)
    if sentence is None:
        open_trained(str(folder), spec_of(folder))
        return
    with pytest.raises(VictimError, match=sentence) as caught:
        open_trained(str(folder), spec_of(folder))
    assert "\n" not in str(caught.value)


def test_nothing_is_trained_with_a_tokenizer_that_tells_no_texts_apart(decoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(decoder, tmp_path / "model")
    tokenizer = Tokenizer(models.WordLevel({"<eos>": 0, "x": 1}, unk_token="x"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    with pytest.raises(VictimError, match="makes the same tokens of different texts"):
        train_classifier(spec_of(folder), ROWS)
