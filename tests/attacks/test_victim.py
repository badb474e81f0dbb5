"""Victims: what is refused, and what they are before and after their training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.openbackdoor.builtin import load_trainer, load_victim


def test_an_untrained_victim_says_so(tiny_bert: Path) -> None:
    victim = load_victim({"type": "plm", "path": str(tiny_bert), "num_classes": 2})
    assert victim.num_classes == 2
    with pytest.raises(VictimError, match=r"^This victim has not been trained yet: run the attack first\.$"):
        victim.logits(["a text"])


def test_a_trained_victim_answers(tiny_bert: Path) -> None:
    victim = load_victim({"path": str(tiny_bert), "device": "cpu", "max_len": 16})
    assert victim.num_classes == 0
    trainer = load_trainer({"epochs": 1, "batch_size": 2, "ckpt": "last", "precision": "fp32"})
    assert trainer.train(victim, {"train": [("good", 0, 0), ("bad", 2, 0)]}) is victim
    assert victim.num_classes == 3
    logits = victim.logits(["good", "bad", "good"])
    assert (logits.shape, logits.dtype) == ((3, 3), np.float32)
    assert logits[0].tolist() == logits[2].tolist()
    assert victim.logits([]).shape == (0, 3)


def test_a_folder_that_holds_no_usable_model_is_refused_at_once(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(VictimError, match=r"absent' does not exist: name a folder, a hub name or 'minilm'\.$"):
        load_victim({"path": str(tmp_path / "absent")})
    with pytest.raises(VictimError, match=r"has no config\.json: expected a Hugging Face model folder"):
        load_victim({"path": str(tmp_path)})
    folder = tmp_path / "victim"
    shutil.copytree(tiny_bert, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        VictimError, match=r"holds no safetensors weights: it only has pickled weights, which are never"
    ):
        load_victim({"path": str(folder)})
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(VictimError, match=r"holds no safetensors weights: add model\.safetensors\.$"):
        load_victim({"path": str(folder)})


def test_no_victim_is_made_of_code_that_comes_with_it(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "victim"
    shutil.copytree(tiny_bert, folder)
    config = (folder / "config.json").read_text(encoding="utf-8")
    mapped = config.replace(
        "{", '{"auto_map": {"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"},', 1
    )
    (folder / "config.json").write_text(
        mapped.replace('"model_type": "bert"', '"model_type": "evil"'), encoding="utf-8"
    )
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    trainer = load_trainer({"epochs": 1, "ckpt": "last"})
    with pytest.raises(VictimError, match=r"The victim folder '.*' cannot be loaded "):
        trainer.train(load_victim({"path": str(folder)}), {"train": [("good", 0, 0), ("bad", 1, 0)]})
    assert not (tmp_path / "ran").exists()
