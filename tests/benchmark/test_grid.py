"""Grids: what they say, what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.benchmark.grid import Grid, load_grid, make_grid
from openbackdoor_badllm.errors import ConfigError

SMALL: dict[str, Any] = {"datasets": ["demo"], "attacks": ["badnets"], "defenders": ["badllmtg"]}


def grid(*overrides: str, **more: Any) -> Grid:
    return make_grid({**SMALL, **more}, overrides)


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
        ({"attacks": {"mine": {"name": "badnet"}}}, r"did you mean 'badnets'\?"),
        ({"seeds": [1, 1]}, r"'grid\.seeds' names something twice: 1, 1\."),
        ({"defendres": []}, r"'grid' has no key 'defendres': did you mean 'defenders'\?"),
        ({"datasets": {"mine": {"name": "custom", "path": "x"}}}, r"needs 'target_label'"),
        ({"defenders": {"oracle": {"x": 1}}}, r"'oracle' is a reference and takes no options\."),
        ({"defenders": {"../up": {"name": "badllmtg"}}}, r"has the name '\.\./up': a name is made of letters"),
        ({"llm_budget": {"calls": 1}}, r"'grid\.llm_budget' has no key 'calls'"),
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
