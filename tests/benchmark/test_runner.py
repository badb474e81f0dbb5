"""A benchmark from the command line: what it leaves, what a second run does, what a failed cell does to the rest."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from evaluation.conftest import count_trainings
from filelock import FileLock

from openbackdoor_badllm.benchmark.runner import missing
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK

from .conftest import World, figures

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_a_run_leaves(finished: World) -> None:
    plan = json.loads((finished.out / "plan.json").read_text("utf-8"))
    assert (plan["schema"], plan["grid"], plan["ours"]) == (1, "tiny", "badllmtg")
    kinds = [(cell["kind"], cell["attack"], cell["defender"]) for cell in plan["cells"]]
    assert kinds == [
        ("references", "badnets", None),
        ("references", "addsent", None),
        ("defender", "badnets", "badllmtg"),
        ("defender", "badnets", "no repair"),
        ("defender", "addsent", "badllmtg"),
        ("defender", "addsent", "no repair"),
    ]
    for cell in plan["cells"]:
        folder = finished.out / cell["folder"]
        names = [line["name"] for line in json.loads((folder / "results.json").read_text("utf-8"))["lines"]]
        if cell["kind"] == "references":
            assert names == ["undefended", "oracle filter", "trained on clean rows"]
        else:
            assert names == ["defended"]
            assert (finished.out / cell["references"] / "results.json").is_file()
        assert json.loads((folder / "cell.json").read_text("utf-8")) == cell
        made = json.loads((folder / "made.json").read_text("utf-8"))
        assert (made["executor"], made["threads"], made["gpu"]) == ("local", 1, None)
        lines = json.loads((folder / "results.json").read_text("utf-8"))["lines"]
        assert all(line["peak_memory_mb"] > 50 for line in lines)
    assert {"grid.yaml", "plan.json", "table.json", "table.md", "table.csv", "table.tex"} <= {
        path.name for path in finished.out.iterdir()
    }


def test_the_table_tells_what_the_cells_measured(finished: World) -> None:
    table = json.loads((finished.out / "table.json").read_text("utf-8"))
    by_name = {(record["attack"], record["defender"]): record for record in table["records"]}
    assert list(by_name)[:5] == [("badnets", name) for name in ("none", "badllmtg", "no repair", "oracle", "clean")]
    for (attack, name), record in by_name.items():
        cell = json.loads((finished.out / record["cells"][0] / "results.json").read_text("utf-8"))
        line = {"none": "undefended", "oracle": "oracle filter", "clean": "trained on clean rows"}.get(name, "defended")
        told = next(item for item in cell["lines"] if item["name"] == line)
        for figure in ("CACC", "ASR", "R-Acc"):
            assert record["figures"][figure]["values"] == [told[figure]]
        floor = by_name[attack, "clean"]["figures"]["ASR"]["mean"]
        assert record["figures"]["excess ASR"]["mean"] == pytest.approx(told["ASR"] - floor)
    ours = by_name["badnets", "badllmtg"]
    assert ours["ours"] is True
    assert ours["found"] == ["cf"]
    assert by_name["badnets", "none"]["figures"]["ASR"]["mean"] > 0.9
    assert ours["figures"]["ASR"]["mean"] < 0.3
    assert by_name["badnets", "no repair"]["figures"]["ASR"]["mean"] > 0.9
    assert ours["figures"]["memory"]["mean"] > 50


def test_a_second_run_takes_seconds(finished: World) -> None:
    """In a process of its own, imports included: processor time, which other load on the machine does not change."""
    assert finished.run() == EXIT_OK  # whatever another test left
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "run_benchmark.py", *finished.arguments()],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 15
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert imported & {"torch", "matplotlib", "transformers.trainer"} <= {"torch"}  # no training, no picture


def test_references_are_trained_once_for_all_defenders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = count_trainings(monkeypatch)
    assert world.run() == EXIT_OK
    # References: 2 undefended; one oracle and one clean victim, as both attacks poison the same rows. Defences start
    # from the undefended victims, so none is trained on all rows again.
    assert sorted(counted.rows[:4]) == [128, 160, 160, 160]
    assert counted.rows[4:].count(160) == 0


def test_a_failed_cell_says_why_and_the_rest_goes_on(world: World, capsys: Capture) -> None:
    world.content["defenders"] = {"badllmtg": world.content["defenders"]["badllmtg"]}
    data = Path(world.content["datasets"]["tiny"]["path"])
    broken = world.folder / "broken"
    broken.mkdir()
    for name in ("train.csv", "dev.csv", "test.csv"):
        (broken / name).write_bytes((data / name).read_bytes())
    (broken / "test.csv").write_text("text,label\nfine film,7\n", encoding="utf-8")
    world.content["attacks"] = ["badnets"]
    world.content["datasets"]["broken"] = {"name": "custom", "path": str(broken), "target_label": 1}
    assert world.run() == EXIT_FAILURE
    told = capsys.readouterr()
    cells = {(cell.dataset, cell.kind): cell for cell in world.cells()}
    assert cells["tiny", "defender"].done(world.out)
    assert cells["tiny", "references"].done(world.out)
    for kind in ("references", "defender"):
        sentence = cells["broken", kind].failure(world.out)
        assert sentence is not None
        assert "label '7'" in sentence
        assert "Traceback" not in sentence
    assert "## Failed" in told.out
    assert "label '7'" in told.out.replace("\\", "")
    assert "2 failed" in told.err

    assert missing(world.cells(), world.out) == []  # it stays failed
    (broken / "test.csv").write_bytes((data / "test.csv").read_bytes())
    assert world.run() == EXIT_FAILURE
    assert len(missing(world.cells(), world.out, retry_failed=True)) == 2
    assert world.run("--retry-failed") == EXIT_OK
    assert not list(world.out.rglob("failure.json"))


def test_an_interrupt_loses_the_cell_in_hand_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from openbackdoor_badllm.benchmark import executors

    really, calls = executors.run_cell, []

    def interrupted(*arguments: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return really(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(executors, "run_cell", interrupted)
    assert world.run() == EXIT_INTERRUPTED
    assert len(figures(world.out)) == 2
    table = json.loads((world.out / "table.json").read_text("utf-8"))
    assert sum(bool(record["figures"]) for record in table["records"]) == 6
    monkeypatch.setattr(executors, "run_cell", really)
    assert world.run() == EXIT_OK
    assert len(figures(world.out)) == 6


def test_a_cell_of_another_runner_is_waited_for(world: World) -> None:
    world.content["attacks"] = {"badnets": world.content["attacks"]["badnets"]}
    world.content["defenders"] = []
    (cell,) = world.cells()
    folder = world.out / cell.folder
    folder.mkdir(parents=True)
    taken = threading.Event()

    def other_runner() -> None:
        with FileLock(folder / ".lock"):
            taken.set()
            time.sleep(1.5)
            (folder / "results.json").write_text('{"lines": []}', encoding="utf-8")

    other = threading.Thread(target=other_runner)
    other.start()
    taken.wait()
    assert world.run() == EXIT_OK
    other.join()
    assert (folder / "results.json").read_text("utf-8") == '{"lines": []}'  # the other runner's


def test_json_configs_as_before(world: World, tmp_path: Path, capsys: Capture, tiny_bert: Path) -> None:
    from tiny_world import config, write_config

    from openbackdoor_badllm.benchmark.command import main

    data = Path(world.content["datasets"]["tiny"]["path"])
    file = write_config(tmp_path / "pair.json", config(data, tiny_bert))
    arguments = [str(file), "--profile", "full", "--out", str(world.out), "--cache", str(world.cache), "--quiet",
                 "--no-probe", "--jobs", "1"]  # fmt: skip
    assert main(arguments) == EXIT_OK
    (folder,) = world.out.glob("pair-full-seed42-????????")
    before = contents(folder)
    told = capsys.readouterr().out
    table = json.loads((world.out / "table.json").read_text("utf-8"))
    assert [record["defender"] for record in table["records"]] == ["none", "badllmtg", "oracle", "clean"]
    assert "custom badnets" in told
    assert main(arguments) == EXIT_OK
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.yaml"], "The grid 'absent.yaml' does not exist"),
        (["a.yaml", "b.json"], "Name one grid (.yaml), or any number of JSON configs (.json)."),
        (["{grid}", "--executor", "kubernetes"], "'--executor' must be 'local', 'ray' or 'slurm'"),
        (["{grid}", "--executor", "slurm", "--slurm", "gpu"], "--slurm expects key=value"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    arguments: list[str], sentence: str, world: World, capsys: Capture
) -> None:
    from openbackdoor_badllm.benchmark.command import main

    line = [str(world.grid) if word == "{grid}" else word for word in arguments]
    assert main([*line, "--out", str(world.out), "--cache", str(world.cache), "--no-probe"]) == EXIT_BAD_INPUT
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("run_benchmark: ")
    assert sentence in told.err
    assert told.out == ""
    assert not list(world.out.rglob("results.json"))
