"""Cells: named by what defines them, and checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.benchmark.cells import Cell, plan_grid
from openbackdoor_badllm.benchmark.grid import make_grid
from openbackdoor_badllm.errors import ConfigError

SMALL: dict[str, Any] = {
    "datasets": ["demo"], "attacks": ["badnets"], "defenders": ["badllmtg"], "profile": "smoke",
    "victims": {"minilm": {}},
}  # fmt: skip


def cells(*, data_root: Path | None = None, **more: Any) -> list[Cell]:
    return plan_grid(make_grid({**SMALL, **more}), data_root=data_root)


def folders(**more: Any) -> list[str]:
    return [cell.folder for cell in cells(**more)]


def test_the_name_is_the_hash_of_what_defines_a_cell(tmp_path: Path) -> None:
    first = folders()
    assert first == folders()
    assert first == [cell.folder for cell in cells(data_root=tmp_path)]  # where the data lies defines nothing
    assert first[0].startswith("cells/demo_badnets_dirty20_references_s42_")
    assert first[1].startswith("cells/demo_badnets_dirty20_badllmtg_s42_")
    for change in (
        {"seeds": [43]},
        {"rates": [0.1]},
        {"settings": ["mix"]},
        {"profile": "desk"},
        {"overrides": {"attacker": {"train": {"epochs": 1}}}},
        {"victims": {"minilm": {"max_len": 64}}},
        {"attacks": {"badnets": {"triggers": ["zz"]}}},
    ):
        assert not set(folders(**change)) & set(first), change


def test_a_label_defines_nothing_but_options_do() -> None:
    renamed = folders(defenders={"mine": {"name": "badllmtg"}}, ours="mine")
    assert renamed == folders()
    changed = folders(defenders={"badllmtg": {"repair": "paper"}})
    assert changed[0] == folders()[0]  # the references serve every defender
    assert changed[1] != folders()[1]


def test_references_come_first_seed_by_seed() -> None:
    made = cells(seeds=[1, 2], attacks=["badnets", "addsent"])
    assert [(cell.seed, cell.kind) for cell in made] == [
        (seed, kind) for seed in (1, 2) for kind in ("references", "references", "defender", "defender")
    ]
    known = {cell.folder: cell for cell in made}
    for cell in made:
        if cell.references:
            other = known[cell.references]
            assert (other.attack, other.seed, other.kind) == (cell.attack, cell.seed, "references")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"defenders": ["badlmtg"]}, r"'defenders' must be .*; did you mean 'badllmtg'\?"),
        ({"defenders": {"badllmtg": {"repare": 1}}}, r"In 'demo .*badllmtg, seed 42': 'defender' has no key 'repare'"),
        ({"overrides": {"atacker": {}}}, r"'config' has no key 'atacker'"),
        ({"defenders": {"a": {"name": "badllmtg"}, "b": {"name": "badllmtg", "repair": "paper"}}}, r"'ours' must be"),
        ({"defenders": ["onion", "rap"], "ours": "onoin"}, r"'ours' must be .*'onion' or 'rap', but is \"onoin\""),
    ],
)
def test_unknown_names_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        cells(**change)
