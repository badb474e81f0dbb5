"""What OpenBackdoor would miss in a config, or look for on the hub, is written in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from openbackdoor_badllm.openbackdoor.completing import complete, ignored_keys


def made(tiny_bert: Path, **defender: Any) -> dict[str, Any]:
    return {
        "victim": {"path": str(tiny_bert), "max_len": 32},
        "attacker": {"train": {"lr": 0.01, "epochs": 2}, "poisoner": {"name": "badnets", "target_label": 1}},
        "defender": defender,
    }


def test_keys_that_it_cannot_do_without(tiny_bert: Path) -> None:
    config = made(tiny_bert)
    before = copy.deepcopy(config)
    filled = complete(config)
    assert config == before
    assert filled["victim"] == {"type": "plm", "model": "bert", "path": str(tiny_bert), "max_len": 32}
    assert filled["attacker"]["train"] == {"name": "base", "batch_size": 32, "lr": 0.01, "epochs": 2}
    assert filled["attacker"]["poisoner"]["load"] is False
    assert filled["attacker"]["poisoner"]["label_dirty"] is False
    assert filled["defender"] == {}


def test_keys_that_its_own_loaders_would_swallow(tiny_bert: Path) -> None:
    config = made(tiny_bert)
    config["target_dataset"] = {"name": "sst-2", "max_test": 5}
    config["attacker"]["poisoner"]["data_root"] = "x"
    assert ignored_keys(config) == ["target_dataset.max_test", "attacker.poisoner.data_root"]
