"""Profiles and ``resolve``: what overrides what, and what is written into a config before it runs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tiny_world import config as tiny_config

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.profiles import PROFILES, apply_profile


@pytest.fixture
def config() -> dict[str, Any]:
    return tiny_config(Path("data"), "victim-folder")


def test_full_changes_nothing(config: dict[str, Any]) -> None:
    changed = apply_profile(config, "full")
    assert changed == config
    assert changed["attacker"] is not config["attacker"]


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


def test_profiles_rise_in_size() -> None:
    smoke, desk, full = (PROFILES[name] for name in ("smoke", "desk", "full"))
    assert all(smoke.rows[key] < desk.rows[key] for key in ("max_train", "max_dev", "max_test"))
    assert 1200 <= desk.rows["max_train"] <= 2400
    assert not full.rows
    assert not full.victim
    assert not full.train


def test_a_profile_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        PROFILES["desk"].rows["max_train"] = 1  # type: ignore[index]


def test_unknown_profile(config: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"'--profile' must be 'smoke', 'desk' or 'full', but is \"dek\"; did you mean"
    ):
        resolve(config, profile="dek")


def test_set_overrides_the_profile_and_the_profile_the_config(config: dict[str, Any]) -> None:
    config["attacker"]["train"].update(epochs=50, batch_size=64)
    resolved = resolve(config, profile="smoke", overrides=["attacker.train.epochs=2", "attacker.train.epochs=9"])
    assert resolved["attacker"]["train"]["epochs"] == 9
    assert resolved["attacker"]["train"]["batch_size"] == 32
    assert resolved["profile"] == "smoke"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("0.5", 0.5), ("true", True), ("null", None), ('["cf", "mn"]', ["cf", "mn"]), ("paper", "paper"),
        ('"5"', "5"), ("a=b", "a=b"), ("", ""), ("I watch this 3D movie", "I watch this 3D movie"),
    ],
)  # fmt: skip
def test_values_of_set(config: dict[str, Any], text: str, value: object) -> None:
    resolved = resolve(config, overrides=[f"attacker.poisoner.triggers={text}"])
    assert resolved["attacker"]["poisoner"]["triggers"] == value


def test_set_makes_a_section(config: dict[str, Any]) -> None:
    del config["defender"]
    resolved = resolve(config, overrides=["defender.name=badllmtg", "defender.search.probe_rows=3"])
    assert resolved["defender"] == {"name": "badllmtg", "search": {"probe_rows": 3}, "seed": 42}


@pytest.mark.parametrize("override", ["defendr.repair=paper", "sede=4", "poison-dataset.name=demo"])
def test_set_cannot_smuggle_in_a_section(config: dict[str, Any], override: str) -> None:
    with pytest.raises(ConfigError, match=r"^'config' has no key '[\w-]+': did you mean '\w+'\?$"):
        resolve(config, overrides=[override])


@pytest.mark.parametrize("override", ["defender.repair", "=paper", " =paper"])
def test_set_needs_a_key_and_a_value(config: dict[str, Any], override: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set expects key=value, for instance defender\.repair=paper, but got "):
        resolve(config, overrides=[override])


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


@pytest.mark.parametrize("seed", ["x", 1.5, True, None, -1, 2**32])
def test_what_is_no_seed(config: dict[str, Any], seed: object) -> None:
    with pytest.raises(ConfigError, match=r"^'seed' must be a whole number from 0 to 4294967295, but is "):
        resolve({**config, "seed": seed})


def test_the_data_root_reaches_the_data_and_the_poisoner(config: dict[str, Any], tmp_path: Path) -> None:
    resolved = resolve(config, data_root=tmp_path)
    places = [resolved["target_dataset"], resolved["poison_dataset"], resolved["attacker"]["poisoner"]]
    assert [place["data_root"] for place in places] == [str(tmp_path)] * 3
    assert "data_root" not in resolve(config)["target_dataset"]


def test_no_defender_stays_no_defender(config: dict[str, Any]) -> None:
    for none in (None, {}):
        assert not resolve({**config, "defender": none})["defender"]
    del config["defender"]
    assert "defender" not in resolve(config)


def test_resolving_leaves_the_config_alone_and_is_stable(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    once = resolve(config, profile="desk", overrides=["defender.repair=paper"], seed=3)
    assert config == before
    assert resolve(once, profile="full") == {**once, "profile": "full"}
