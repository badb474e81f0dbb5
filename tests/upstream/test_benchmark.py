"""The benchmark on the real OpenBackdoor: cells of their own, workers on the same host, tables that name it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark.conftest import World
from tiny_world import SEARCH, TRAIN, write_reviews

from openbackdoor_badllm.benchmark.cell import Cell, Settings
from openbackdoor_badllm.benchmark.cells import plan_grid
from openbackdoor_badllm.benchmark.grid import make_grid
from openbackdoor_badllm.benchmark.work import run_apart
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_OK
from openbackdoor_badllm.openbackdoor.finding import VARIABLE
from openbackdoor_badllm.openbackdoor.host import Host, open_host

GRID: dict[str, Any] = {
    "datasets": ["demo"], "attacks": ["badnets"], "defenders": ["badllmtg"], "profile": "full",
}  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def host(checkout: Path) -> Host:
    return open_host("upstream")


@pytest.fixture
def world(tmp_path: Path, tiny_bert: Path) -> World:
    data = write_reviews(tmp_path / "data")
    return World(
        tmp_path,
        {
            "datasets": {"tiny": {"name": "custom", "path": str(data), "target_label": 1}},
            "attacks": {"badnets": {"triggers": ["cf"]}},
            "victims": {"tiny": {"path": str(tiny_bert), "max_len": 32, "device": "cpu"}},
            "defenders": {"badllmtg": {"search": dict(SEARCH), "repair": "purge"}, "strip": {}},
            "overrides": {"attacker": {"train": dict(TRAIN)}},
            "profile": "full",
        },
    )


@pytest.fixture
def planned(tiny_bert: Path) -> Callable[..., list[Cell]]:
    def plan(host: Host | None = None, **more: Any) -> list[Cell]:
        return plan_grid(make_grid({**GRID, "victims": {"tiny": {"path": str(tiny_bert)}}, **more}), host=host)

    return plan


def commit(home: Path, revision: str = COMMIT) -> None:
    (home / ".git").mkdir(exist_ok=True)
    (home / ".git" / "HEAD").write_text(f"{revision}\n", encoding="utf-8")


def test_its_cells_have_names_of_their_own(checkout: Path, planned: Callable[..., list[Cell]]) -> None:
    builtin = planned()
    assert planned(open_host()) == builtin
    assert all("host" not in cell.identity for cell in builtin)  # so that their names stay what they were
    names = {cell.folder for cell in builtin}
    for revision in ("unknown", COMMIT):
        if revision == COMMIT:
            commit(checkout)
        cells = planned(open_host("upstream"))
        assert not names & {cell.folder for cell in cells}
        assert {(cell.host["name"], cell.host["revision"]) for cell in cells} == {("upstream", revision)}
        names |= {cell.folder for cell in cells}


@pytest.mark.slow
def test_a_whole_benchmark(world: World, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(checkout)
    monkeypatch.delenv(VARIABLE)
    on_it = ("--host", "upstream", "--openbackdoor", checkout)
    assert world.run(*on_it) == EXIT_OK
    table = json.loads((world.out / "table.json").read_text("utf-8"))
    assert table["host"] == {"name": "upstream", "revision": COMMIT}
    assert json.loads((world.out / "plan.json").read_text("utf-8"))["host"] == table["host"]
    figures = {record["defender"]: record["figures"] for record in table["records"]}
    assert figures["none"]["ASR"]["mean"] > 0.9
    assert figures["badllmtg"]["ASR"]["mean"] < 0.3
    assert figures["strip"]["ASR"]["mean"] == 0  # the framework's own, which flags "cf"
    for record in table["records"]:
        for cell in record["cells"]:
            results = json.loads((world.out / cell / "results.json").read_text("utf-8"))
            assert (results["host"], results["versions"]["openbackdoor"]) == ("upstream", COMMIT)
    assert f"Host: the real OpenBackdoor, commit {COMMIT}." in (world.out / "table.md").read_text("utf-8")
    assert COMMIT in (world.out / "table.tex").read_text("utf-8")
    with (world.out / "table.csv").open(newline="", encoding="utf-8") as file:
        assert {row["host"] for row in csv.DictReader(file)} == {f"upstream {COMMIT}"}
    done = sorted((world.out / "cells").iterdir())
    assert world.run(*on_it) == EXIT_OK
    assert sorted((world.out / "cells").iterdir()) == done
    assert not {cell.folder for cell in world.cells()} & {f"cells/{path.name}" for path in done}


def test_a_worker_with_another_commit_refuses(world: World, checkout: Path) -> None:
    made = open_host("upstream")
    cell = plan_grid(make_grid(world.content), host=made)[0]
    commit(checkout)
    outcome = run_apart(cell, Settings(world.out, openbackdoor=made.home))
    assert outcome.state == "failed"
    assert COMMIT in outcome.sentence
    assert "'unknown'" in outcome.sentence


def test_without_it_auto_says_so_and_upstream_stops(
    world: World, untouched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert world.run("--host", "auto", "--list") == EXIT_OK
    told = capsys.readouterr()
    assert "The host is the built-in one." in told.err
    listed = [line.split()[2] for line in told.out.splitlines()]
    assert listed == [cell.folder for cell in world.cells()]
    assert world.run("--host", "upstream", "--list") == EXIT_BAD_INPUT
    assert "There is no OpenBackdoor in" in " ".join(capsys.readouterr().err.split())
