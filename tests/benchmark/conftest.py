"""A grid on the tiny world (see ``tiny_world``), and one finished run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from openbackdoor_badllm.benchmark.cells import Cell, plan_grid
from openbackdoor_badllm.benchmark.command import main
from openbackdoor_badllm.benchmark.grid import load_grid


@dataclass
class World:
    """A grid file on tiny data."""

    folder: Path
    content: dict[str, Any]

    @property
    def grid(self) -> Path:
        """The grid as a file."""
        file = self.folder / "tiny.yaml"
        file.write_text(yaml.safe_dump(self.content, sort_keys=False), encoding="utf-8")
        return file

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def arguments(self, *more: object) -> list[str]:
        return [str(self.grid), "--out", str(self.out), "--cache", str(self.cache), "--no-probe", "--threads", "1",
                "--jobs", "1", *map(str, more)]  # fmt: skip

    def cells(self, *overrides: str) -> list[Cell]:
        return plan_grid(load_grid(self.grid, overrides))

    def run(self, *more: object) -> int:
        return main(self.arguments("--quiet", *more))


@pytest.fixture(scope="session")
def tiny_content(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    """A grid of two attacks and two defenders, whose cells take a second or two."""
    from tiny_world import SEARCH, TRAIN, write_reviews

    data = write_reviews(tmp_path_factory.mktemp("grid-reviews"))
    badllmtg = {"name": "badllmtg", "search": dict(SEARCH), "repair": "purge"}
    return {
        "datasets": {"tiny": {"name": "custom", "path": str(data), "target_label": 1}},
        "attacks": {"badnets": {"triggers": ["cf"]}, "addsent": {"triggers": "mn cf"}},
        "victims": {"tiny": {"path": str(tiny_bert), "max_len": 32, "device": "cpu"}},
        "defenders": {"badllmtg": badllmtg, "no repair": {**badllmtg, "repair": "none"}},
        "overrides": {"attacker": {"train": dict(TRAIN)}},
        "profile": "full",
    }


@pytest.fixture
def world(tmp_path: Path, tiny_content: dict[str, Any]) -> World:
    """A grid of one's own, nothing run yet."""
    import copy

    return World(tmp_path, copy.deepcopy(tiny_content))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_content: dict[str, Any]) -> World:
    """The grid, run to its end."""
    import copy

    made = World(tmp_path_factory.mktemp("finished-grid"), copy.deepcopy(tiny_content))
    assert made.run() == 0
    return made


Figures = Callable[[Path], dict[str, Any]]


def figures(out: Path) -> dict[str, Any]:
    """What each finished cell of a benchmark measured, without what is of the clock."""
    import json

    from tiny_world import figures_of

    found = {}
    for file in sorted((out / "cells").glob("*/results.json")):
        results = json.loads(file.read_text(encoding="utf-8"))
        found[file.parent.name] = [figures_of(line) for line in results["lines"]]
    return found
