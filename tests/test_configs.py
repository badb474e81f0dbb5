"""The configs that ship: each is what its name says, and every key of it is known, under every profile."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from openbackdoor_badllm.benchmark.cells import plan_grid
from openbackdoor_badllm.benchmark.grid import OURS, REFERENCES, Grid, load_grid, make_grid
from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.data.demo import CLASSES
from openbackdoor_badllm.data.layouts import LAYOUTS
from openbackdoor_badllm.defenders import DEFENDERS, load_defender
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.evaluation.experiment import resolve
from openbackdoor_badllm.evaluation.profiles import PROFILES
from openbackdoor_badllm.openbackdoor.builtin import load_attacker, set_config
from openbackdoor_badllm.reading import load_json
from openbackdoor_badllm.section import read

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.glob("*.json"))
GRIDS = sorted((CONFIGS / "benchmark").glob("*.yaml"))
TARGETS = {"sst-2": 1, "hsol": 0, "agnews": 0, "demo": 1, "demo-news": 0}
ATTACKS = ("badnets", "addsent", "stylebkd", "synbkd")
REAL = ("sst-2", "hsol", "agnews")
BASELINES = [name for name in DEFENDERS if name not in (OURS, *REFERENCES)]


def test_the_files_are_the_pairs_and_each_other_defence_once() -> None:
    wanted = {f"{data}_{attack}_{OURS}" for data in (*REAL, "demo") for attack in ATTACKS}
    wanted |= {f"sst-2_badnets_{name}" for name in (*BASELINES, "none")} | {f"demo-news_badnets_{OURS}"}
    assert {file.stem for file in FILES} == wanted


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_what_its_name_says_and_only_its_data_is_missing(file: Path, tmp_path: Path) -> None:
    data, attack, defence = file.stem.split("_")
    plain = load_json(file)
    poisoner = plain["attacker"]["poisoner"]
    assert plain["target_dataset"]["name"] == plain["poison_dataset"]["name"] == data
    assert (poisoner["name"], poisoner["target_label"]) == (attack, TARGETS[data])
    assert (poisoner["label_consistency"], poisoner["label_dirty"], poisoner["poison_rate"]) == (False, True, 0.2)
    assert plain.get("defender", {}).get("name", "none") == defence
    assert plain.get("defender", {}).get("clean_rows", 400) == 400  # all are given as many
    assert plain["victim"]["num_classes"] == (len(CLASSES[data]) if data in CLASSES else LAYOUTS[data].num_classes)
    # All but the defence is that of the pair, as a grid makes it, too.
    pair = load_json(CONFIGS / f"{data}_{attack}_{OURS}.json")
    assert {**plain, "defender": 0} == {**pair, "defender": 0}
    made = make_grid({"datasets": [data], "attacks": [attack], "defenders": []}).base_config(data, attack, 0.2, "dirty")
    for only_upstream in ("style_id", "template_id"):
        poisoner.pop(only_upstream, None)
    plain["attacker"]["train"].pop("save_path")
    assert all(made[key] == plain[key] for key in ("attacker", "target_dataset", "poison_dataset"))
    for profile in PROFILES:
        root = tmp_path / profile
        root.mkdir()
        config = set_config(resolve(load_json(file), profile=profile, data_root=root))
        assert read(VictimConfig, config["victim"], "victim").max_len == 128
        for section in ("target_dataset", "poison_dataset"):
            read_back = DatasetConfig.from_keys(config[section])
            assert (read_back.data_root, read_back.load) == (str(root), data in REAL)
        if "defender" in config:
            defender = load_defender(config["defender"])
            assert defender.pre is (defender.outcome == "cleaned training set")
        if data in REAL:
            with pytest.raises(DataError, match="No poisoned texts for this attack: expected the folder"):
                load_attacker(config["attacker"])
            (root / config["attacker"]["poisoner"]["poison_data_basepath"]).mkdir(parents=True)
        attacker = load_attacker(config["attacker"])
        assert (attacker.poisoner.poison_rate, attacker.poisoner.poison_setting) == (0.2, "dirty")


@pytest.mark.parametrize("name", [*BASELINES, "none"])
def test_another_defence_is_an_option(name: str) -> None:
    pair = load_json(CONFIGS / f"hsol_synbkd_{OURS}.json")
    section = resolve(pair, overrides=[f"defender={name}"])["defender"]
    assert section == ({} if name == "none" else {"name": name, "seed": 42})
    if name != "none":
        assert load_defender(section).name == name
        more = resolve(pair, overrides=[f"defender={name}", "defender.pre=false"])["defender"]
        assert more == {**section, "pre": False}
        long = resolve(pair, overrides=[f'defender={{"name": "{name}"}}'])["defender"]
        assert long == section


def test_an_unknown_defence_is_told() -> None:
    config = resolve(load_json(FILES[0]), overrides=["defender=onoin"])
    with pytest.raises(ConfigError, match="onion"):
        load_defender(config["defender"])


@pytest.mark.parametrize("file", GRIDS, ids=lambda file: file.stem)
def test_the_grids_that_ship(file: Path, tmp_path: Path) -> None:
    made = load_grid(file)
    present = [label for label in made.defenders if made.defender(label)["name"] in DEFENDERS]
    assert len(present) == len(made.defenders)
    assert made.ours in present or file.stem == "modes"  # a grid of baselines alone has none
    for dataset, options in made.datasets.items():
        base = made.base_config(dataset, next(iter(made.attacks)), 0.2, "dirty")
        target = base["attacker"]["poisoner"]["target_label"]
        for attack in made.attacks:
            (tmp_path / "poison_data" / options.get("name", dataset) / str(target) / attack).mkdir(parents=True)
    cells = plan_grid(made, data_root=tmp_path)
    pairs = len(made.datasets) * len(made.attacks) * len(made.rates) * len(made.settings) * len(made.victims)
    assert len(cells) == pairs * len(made.seeds) * (1 + len(present))


def test_the_reference_page_explains_every_key() -> None:
    text = (CONFIGS.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    flagged = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", text))))
    used: set[str] = set(Grid.model_fields)

    def collect(pairs: list[tuple[str, object]]) -> None:
        used.update(key for key, _ in pairs)

    for file in FILES:
        json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=collect)
    assert used <= flagged
