"""One LLM budget over all cells, whoever runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from llm.chat_server import ChatServer
from llm_world import honest

from openbackdoor_badllm.benchmark.cell import Cell, Settings
from openbackdoor_badllm.benchmark.spending import RESERVED, Spent, paid, reserved, spent
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FAILURE, EXIT_OK

from .conftest import World

LLM = {"backend": "openai", "model": "m", "max_calls": 10, "price_prompt": 1.0, "price_completion": 2.0}
CONFIG = {"defender": {"name": "badllmtg", "llm": LLM}}


def note(*, prompt: int = 100, completion: int = 10, cache_hit: bool = False, attempts: int = 1) -> str:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return json.dumps({"cache_hit": cache_hit, "attempts": attempts, "answer": {"usage": usage}}) + "\n"


def cell(out: Path, name: str, *notes: str) -> Path:
    folder = out / "cells" / name
    folder.mkdir(parents=True)
    (folder / "transcript.jsonl").write_text("".join(notes), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


def task(out: Path, name: str, **budget: Any) -> tuple[Cell, Settings]:
    cell = Cell("defender", f"cells/{name}", "d", "a", 0.2, "dirty", "v", "badllmtg", 1, "full", CONFIG, {})
    return cell, Settings(out, budget=budget)


def test_what_was_paid_stands_in_the_transcripts(tmp_path: Path) -> None:
    first = cell(tmp_path, "a", note(), note(cache_hit=True), note(attempts=0), note(), '{"half')
    cell(tmp_path, "b", note(prompt=1_000_000, completion=0))
    assert paid(first / "transcript.jsonl") == Spent(2, 220, pytest.approx(240 / 1e6))
    assert spent(tmp_path) == Spent(3, 1_000_220, pytest.approx(1 + 240 / 1e6))
    assert paid(tmp_path / "absent") == Spent()


def test_a_cell_starts_only_where_its_bound_fits(tmp_path: Path) -> None:
    cell(tmp_path, "a", note(), note())
    cell(tmp_path, "b")
    with reserved(*task(tmp_path, "b", max_calls=12)) as refusal:
        assert refusal is None
        assert json.loads((tmp_path / RESERVED).read_text("utf-8")) == {"cells/b": [10, 0, 0]}
    assert json.loads((tmp_path / RESERVED).read_text("utf-8")) == {}
    with reserved(*task(tmp_path, "b", max_calls=11)) as refusal:
        assert refusal is not None
        assert "(10) does not fit into what is left of llm_budget.max_calls (2 of 11" in refusal


def test_what_runs_elsewhere_counts_with_its_bound(tmp_path: Path) -> None:
    cell(tmp_path, "a")
    other = cell(tmp_path, "b")
    with FileLock(other / ".lock"), reserved(*task(tmp_path, "b", max_calls=15)) as first:
        assert first is None
        with reserved(*task(tmp_path, "a", max_calls=15)) as second:
            assert second is not None
        with reserved(*task(tmp_path, "a", max_calls=20)) as third:
            assert third is None


def test_a_reservation_of_a_dead_process_is_dropped(tmp_path: Path) -> None:
    cell(tmp_path, "a")
    cell(tmp_path, "b", note())
    (tmp_path / RESERVED).write_text(json.dumps({"cells/b": [10, 0, 0], "cells/gone": [99, 0, 0]}), encoding="utf-8")
    with reserved(*task(tmp_path, "a", max_calls=11)) as refusal:
        assert refusal is None  # 1 paid by b before it died, 10 for a


@pytest.mark.slow
def test_cells_that_do_not_fit_are_held_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(honest) as server:
        llm = {"backend": "openai", "model": "scripted", "base_url": server.base_url, "max_calls": 40}
        ours = {**world.content["defenders"]["badllmtg"], "llm": llm}
        ours["search"] = {**ours["search"], "strategy": "paper"}  # a model alone: statistics need none here
        world.content["defenders"] = {"badllmtg": ours}
        world.content["llm_budget"] = {"max_tokens_total": 10**9}
        assert world.run() == EXIT_BAD_INPUT
        world.content["llm_budget"] = {"max_calls": 41}
        assert world.run() == EXIT_FAILURE
        calls = server.count
        done = {cell.title: cell.done(world.out) for cell in world.cells()}
        assert list(done.values()) == [True, True, True, False]  # the second cell's bound no longer fits
        assert 1 < calls <= 40
        assert spent(world.out).calls == calls
        assert not list(world.out.rglob("failure.json"))  # it did not fail: a larger budget runs it
        assert world.run("--set", "llm_budget.max_calls=200") == EXIT_OK
        table = json.loads((world.out / "table.json").read_text("utf-8"))
        ours = [record for record in table["records"] if record["ours"]]
        told = sum(record["figures"]["LLM calls"]["mean"] for record in ours)
        assert told == spent(world.out).calls == server.count
        before = server.count
        assert world.run() == EXIT_OK
        assert server.count == before
