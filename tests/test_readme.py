"""The figures of the README are those under ``results/``: a number copied by hand grows old."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATASETS = {"SST-2": "sst-2", "HSOL": "hsol", "AG News": "agnews"}
LINES = ("none", "badllmtg", "oracle", "clean")


def table(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "results" / name / "table.json").read_text(encoding="utf-8"))
    return loaded


def cells(line: str) -> list[str]:
    return [cell.strip().replace("*", "") for cell in line.strip().strip("|").split("|")]


def spread(figures: dict[str, Any]) -> str:
    return " / ".join(f"{100 * figures[key]['mean']:.1f} ± {100 * figures[key]['std']:.1f}" for key in ("CACC", "ASR"))


def test_each_pair_has_the_figures_of_the_three_seeds() -> None:
    measured = table("seeds")
    of = {(item["dataset"], item["attack"], item["defender"]): item["figures"] for item in measured["records"]}
    rows = re.findall(r"^\| ((?:SST-2|HSOL|AG News) \w+ \|.*)$", README, flags=re.MULTILINE)
    assert len(rows) == len({key[:2] for key in of}) == 12
    for row in rows:
        pair, *told = cells(row)
        dataset, attack = pair.rsplit(" ", 1)
        assert told == [spread(of[DATASETS[dataset], attack, line]) for line in LINES], pair
    (means,) = re.findall(r"^\| (mean \|.*)$", README, flags=re.MULTILINE)
    average = {item["defender"]: item["figures"] for item in measured["averages"]}
    assert cells(means)[1:] == [
        " / ".join(f"{100 * average[line][key]['mean']:.1f}" for key in ("CACC", "ASR")) for line in LINES
    ]


@pytest.mark.parametrize("figure", ["CACC", "ASR"])
def test_the_means_of_all_defenders_are_those_of_the_benchmark(figure: str) -> None:
    average = {item["defender"]: item["figures"] for item in table("desk")["averages"]}
    header = next(cells(line) for line in README.splitlines() if "| onion |" in line)
    (row,) = re.findall(rf"^\| ({figure} \|.*)$", README, flags=re.MULTILINE)
    assert set(header[1:]) == set(average)
    assert cells(row)[1:] == [f"{100 * average[name][figure]['mean']:.1f}" for name in header[1:]]
