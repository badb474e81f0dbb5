"""The configs that ship: each is what its name says, and every key of it is known, under every profile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.data.demo import CLASSES
from openbackdoor_badllm.data.layouts import LAYOUTS
from openbackdoor_badllm.defenders import DEFENDERS, load_defender
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.profiles import PROFILES
from openbackdoor_badllm.openbackdoor.builtin import load_attacker, set_config
from openbackdoor_badllm.reading import load_json
from openbackdoor_badllm.section import read

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.glob("*.json"))
TARGETS = {"sst-2": 1, "hsol": 0, "agnews": 0, "demo": 1, "demo-news": 0}
ATTACKS = ("badnets", "addsent", "stylebkd", "synbkd")
REAL = ("sst-2", "hsol", "agnews")
REFERENCES = ("oracle", "clean")  # lines of every run, so they need no configs

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_twelve_pairs_are_there_with_every_defender_and_without() -> None:
    names = {file.stem for file in FILES}
    defences = ("none", *(name for name in DEFENDERS if name not in REFERENCES))
    wanted = {f"{data}_{attack}_{defence}" for data in REAL for attack in ATTACKS for defence in defences}
    wanted |= {f"demo_{attack}_badllmtg" for attack in ATTACKS}
    assert wanted <= names
    assert all(len(name.split("_")) == 3 for name in names)


@each_file
def test_name_and_content_agree(file: Path) -> None:
    data, attack, defence = file.stem.split("_")
    config = load_json(file)
    poisoner = config["attacker"]["poisoner"]
    assert config["target_dataset"]["name"] == config["poison_dataset"]["name"] == data
    assert poisoner["name"] == attack
    assert config.get("defender", {}).get("name", "none") == defence
    assert poisoner["target_label"] == TARGETS[data]
    assert poisoner["load"] is (data in REAL)
    assert (poisoner["label_consistency"], poisoner["label_dirty"], poisoner["poison_rate"]) == (False, True, 0.2)
    classes = len(CLASSES[data]) if data in CLASSES else LAYOUTS[data].num_classes
    assert config["victim"]["num_classes"] == classes


@pytest.mark.parametrize("file", [file for file in FILES if file.stem.startswith(REAL)], ids=lambda file: file.stem)
def test_with_and_without_a_defender_all_else_is_the_same(file: Path) -> None:
    defended = load_json(file)
    defended.pop("defender", None)
    assert defended == load_json(CONFIGS / f"{file.stem.rpartition('_')[0]}_none.json")


@pytest.mark.parametrize("name", sorted(set(DEFENDERS) - set(REFERENCES)))
def test_a_defender_has_the_same_section_in_all_of_its_configs(name: str) -> None:
    first, *others = (load_json(file)["defender"] for file in FILES if file.stem.endswith(f"_{name}"))
    assert all(other == first for other in others)


def test_all_that_are_given_clean_rows_are_given_as_many() -> None:
    sections = [load_json(file).get("defender", {}) for file in FILES]
    needing = [part for part in sections if part and DEFENDERS[part["name"]].clean_rows_needed]
    assert needing
    assert {part["clean_rows"] for part in needing} == {400}


@each_file
@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_data_is_missing(file: Path, profile: str, tmp_path: Path) -> None:
    config = set_config(resolve(load_json(file), profile=profile, data_root=tmp_path))
    assert read(VictimConfig, config["victim"], "victim").max_len == 128
    for section in ("target_dataset", "poison_dataset"):
        made = DatasetConfig.from_keys(config[section])
        assert (made.data_root, made.load) == (str(tmp_path), config["attacker"]["poisoner"]["load"])
    if "defender" in config:
        defender = load_defender(config["defender"])
        assert defender.pre is (defender.outcome == "cleaned training set")
        assert not defender.evaluation_only
    if config["attacker"]["poisoner"]["load"]:
        with pytest.raises(DataError, match="No poisoned texts for this attack: expected the folder"):
            load_attacker(config["attacker"])
        (tmp_path / config["attacker"]["poisoner"]["poison_data_basepath"]).mkdir(parents=True)
    attacker = load_attacker(config["attacker"])
    assert attacker.poisoner.poison_rate == 0.2
    assert attacker.poisoner.poison_setting == "dirty"
    assert attacker.poison_trainer.config.warm_up_epochs <= attacker.poison_trainer.config.epochs


def keys_of(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        yield key
        if isinstance(value, dict):
            yield from keys_of(value)


def test_the_readme_explains_every_key_that_a_config_uses() -> None:
    flagged = set(
        re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", (CONFIGS / "README.md").read_text("utf-8"))))
    )
    used = {key for file in FILES for key in keys_of(json.loads(file.read_text(encoding="utf-8")))}
    assert used <= flagged
