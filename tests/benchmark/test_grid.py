"""Grids: what they say, what they refuse, and that they agree with the JSON configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.benchmark.cells import plan_grid
from openbackdoor_badllm.benchmark.grid import OURS, REFERENCES, Grid, load_grid, make_grid
from openbackdoor_badllm.defenders import DEFENDERS
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import load_json

CONFIGS = Path(__file__).parents[2] / "configs"
GRIDS = sorted((CONFIGS / "benchmark").glob("*.yaml"))
SMALL: dict[str, Any] = {"datasets": ["demo"], "attacks": ["badnets"], "defenders": ["badllmtg"]}


def grid(*overrides: str, **more: Any) -> Grid:
    return make_grid({**SMALL, **more}, overrides)


def test_lists_and_mappings_name_the_same() -> None:
    assert grid() == grid(datasets={"demo": None}, attacks="badnets", defenders={"badllmtg": {}})


def test_set_changes_a_key_of_a_list_too() -> None:
    changed = grid("seeds=[1, 2]", "defenders.badllmtg.repair=paper", "datasets=[demo-news]", "rates=[0.1]")
    assert changed.seeds == (1, 2)
    assert changed.defender("badllmtg") == {"name": "badllmtg", "repair": "paper"}
    assert list(changed.datasets) == ["demo-news"]
    assert changed.rates == (0.1,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"datasets": ["sst2"]}, r"'datasets' must be .*; did you mean 'sst-2'\?"),
        ({"attacks": ["badnet"]}, r"'attacks' must be .*; did you mean 'badnets'\?"),
        ({"attacks": {"mine": {"name": "badnet"}}}, r"did you mean 'badnets'\?"),
        ({"victims": ["bert"]}, r"'victims' must be "),
        ({"seeds": [1, 1]}, r"'grid\.seeds' names something twice: 1, 1\."),
        ({"attacks": ["badnets", "badnets"]}, r"The grid's 'attacks' names something twice"),
        ({"defendres": []}, r"'grid' has no key 'defendres': did you mean 'defenders'\?"),
        ({"datasets": {"mine": {"name": "custom", "path": "x"}}}, r"needs 'target_label'"),
        ({"defenders": {"oracle": {"x": 1}}}, r"'oracle' is a reference and takes no options\."),
        ({"defenders": {"../up": {"name": "badllmtg"}}}, r"has the name '\.\./up': a name is made of letters"),
        ({"defenders": {"badllmtg": 3}}, r"'defenders\.badllmtg' must be options"),
        ({"llm_budget": {"calls": 1}}, r"'grid\.llm_budget' has no key 'calls'"),
        ({"overrides": [1]}, r"'overrides' must be a section"),
    ],
)
def test_what_does_not_fit_is_refused(change: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        grid(**change)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("datasets: [demo", r"is not valid YAML at line 1, column \d+\.$"),
        ("- demo", "must hold keys and values"),
        ("datasets: !!python/object/apply:os.system ['exit 1']", "is not valid YAML"),
        ("attacks: [badnets]", r"'grid\.datasets' is missing: give a section in braces that is not empty\."),
    ],
)
def test_bad_files(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence):
        load_grid(file)


@pytest.mark.parametrize("dataset", ["sst-2", "hsol", "agnews", "demo"])
@pytest.mark.parametrize("attack", ["badnets", "addsent", "stylebkd", "synbkd"])
def test_a_pair_is_that_of_the_json_configs(dataset: str, attack: str) -> None:
    made = grid(datasets=[dataset], attacks=[attack]).base_config(dataset, attack, 0.2, "dirty")
    file = next(CONFIGS.glob(f"{dataset}_{attack}_*.json"))
    known = load_json(file)
    for only_upstream in ("style_id", "template_id"):
        known["attacker"]["poisoner"].pop(only_upstream, None)
    known["attacker"]["train"].pop("save_path")
    assert made["attacker"] == known["attacker"]
    assert made["target_dataset"] == known["target_dataset"]
    assert made["poison_dataset"] == known["poison_dataset"]


@pytest.mark.parametrize("file", GRIDS, ids=lambda file: file.stem)
def test_the_grids_that_ship(file: Path, tmp_path: Path) -> None:
    made = load_grid(file)
    present = [label for label in made.defenders if made.defender(label)["name"] in {*REFERENCES, *DEFENDERS}]
    ours = any(made.defender(label)["name"] == OURS for label in made.defenders)
    assert (made.ours in present) is ours  # a grid of baselines alone has none
    assert ours or file.stem in ("modes", "alignment")
    for dataset, options in ((name, made.datasets[name]) for name in made.datasets):
        base = made.base_config(dataset, next(iter(made.attacks)), 0.2, "dirty")
        target = base["attacker"]["poisoner"]["target_label"]
        for attack in made.attacks:
            (tmp_path / "poison_data" / options.get("name", dataset) / str(target) / attack).mkdir(parents=True)
    overrides = [f"defenders={{{', '.join(f'{label!r}: {made.defenders[label]}' for label in present)}}}"]
    cells = plan_grid(load_grid(file, [item.replace("None", "null") for item in overrides]), data_root=tmp_path)
    pairs = len(made.datasets) * len(made.attacks) * len(made.rates) * len(made.settings) * len(made.victims)
    assert len(cells) == pairs * len(made.seeds) * (1 + len(present))


def test_the_grids_are_there() -> None:
    here = {"smoke", "desk", "ours", "clean", "rates", "modes", "alignment", "ablation-offline"}
    assert {file.stem for file in GRIDS} == here | {"table1", "robustness", "ablation", "full"}


def test_the_readme_explains_every_key_of_a_grid() -> None:
    text = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in text for key in Grid.model_fields)
