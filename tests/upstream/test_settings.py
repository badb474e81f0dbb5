"""``set_config``: the keys that OpenBackdoor derives, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.openbackdoor.builtin import set_config


def config(**poisoner: Any) -> dict[str, Any]:
    keys = {"name": "badnets", "poison_rate": 0.2, "target_label": 1, "load": True, **poisoner}
    return {
        "attacker": {"poisoner": {key: value for key, value in keys.items() if value is not ...}},
        "poison_dataset": {"name": "sst-2"}, "target_dataset": {"name": "imdb"}, "defender": {"name": "badllmtg"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        ({}, "mix"),
        ({"label_consistency": False, "label_dirty": False}, "mix"),
        ({"label_dirty": True}, "dirty"),
        ({"label_consistency": True}, "clean"),
    ],
)
def test_derived_keys(flags: dict[str, bool], setting: str) -> None:
    made = set_config(config(**flags))
    poisoner = made["attacker"]["poisoner"]
    assert poisoner["poison_setting"] == setting
    assert poisoner["poison_data_basepath"] == "poison_data/sst-2/1/badnets"
    assert poisoner["poisoned_data_path"] == f"poison_data/sst-2/1/badnets/{setting}/0.2"
    assert made["poison_dataset"] == {
        "name": "sst-2",
        "load": True,
        "clean_data_basepath": f"poison_data/sst-2/1/{setting}/badnets",
    }
    assert made["target_dataset"] == {
        "name": "imdb",
        "load": True,
        "clean_data_basepath": f"poison_data/imdb/1/{setting}/badnets",
    }
    assert made["defender"] == {"name": "badllmtg"}


def test_without_load_the_data_is_not_taken_from_the_poisoners_files() -> None:
    for value in (False, ...):
        made = set_config(config(load=value))
        assert (made["poison_dataset"]["load"], made["target_dataset"]["load"]) == (False, False)
