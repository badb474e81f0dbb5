"""Profiles and ``resolve``: what overrides what, and what is written into a config before it runs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tiny_world import config as tiny_config

from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.profiles import PROFILES, apply_profile


@pytest.fixture
def config() -> dict[str, Any]:
    return tiny_config(Path("data"), "victim-folder")


@pytest.mark.parametrize("name", ["smoke", "desk"])
def test_a_profile_overrides_the_config_and_keeps_the_attack(config: dict[str, Any], name: str) -> None:
    config["attacker"]["train"]["lr"] = 7.0
    config["poison_dataset"]["max_train"] = 7
    before = copy.deepcopy(config)
    changed = apply_profile(config, name)
    profile = PROFILES[name]
    assert config == before
    assert changed["attacker"]["poisoner"] == config["attacker"]["poisoner"]
    assert changed["defender"] == config["defender"]
    for section in ("target_dataset", "poison_dataset"):
        assert changed[section] == {**config[section], **profile.rows}
    assert changed["victim"] == {**config["victim"], **profile.victim}
    assert changed["attacker"]["train"] == {**config["attacker"]["train"], **profile.train}
    assert changed["attacker"]["train"]["lr"] == profile.train["lr"]


def test_set_overrides_the_profile_and_the_profile_the_config(config: dict[str, Any]) -> None:
    config["attacker"]["train"].update(epochs=50, batch_size=64)
    resolved = resolve(config, profile="smoke", overrides=["attacker.train.epochs=2", "attacker.train.epochs=9"])
    assert resolved["attacker"]["train"]["epochs"] == 9
    assert resolved["attacker"]["train"]["batch_size"] == 32
    assert resolved["profile"] == "smoke"


def test_the_seed_reaches_every_section_that_names_none(config: dict[str, Any]) -> None:
    config["attacker"]["train"]["seed"] = 7
    resolved = resolve(config, seed=3)
    assert resolved["seed"] == 3
    assert resolved["attacker"]["train"]["seed"] == 7
    for section in (
        resolved["target_dataset"], resolved["poison_dataset"], resolved["attacker"]["poisoner"], resolved["defender"],
    ):  # fmt: skip
        assert section["seed"] == 3


def test_the_seed_of_the_command_line_beats_the_configs(config: dict[str, Any]) -> None:
    assert resolve({**config, "seed": 5})["seed"] == 5
    assert resolve({**config, "seed": 5}, overrides=["seed=6"])["seed"] == 6
    assert resolve({**config, "seed": 5}, overrides=["seed=6"], seed=0)["defender"]["seed"] == 0
    assert resolve(config)["seed"] == 42
