"""The same cells on every executor give the same figures; a process that dies loses its own cell alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.benchmark import executors
from openbackdoor_badllm.benchmark.command import main
from openbackdoor_badllm.benchmark.executors import Inline, Local, OnRay, OnSlurm, open_executor, visible_gpus
from openbackdoor_badllm.benchmark.runner import run_cells
from openbackdoor_badllm.benchmark.work import settle
from openbackdoor_badllm.errors import EXIT_OK, ConfigError, MissingExtraError

from .conftest import World, figures

KILLS = 10


def one_attack(world: World) -> World:
    world.content["attacks"] = {"badnets": world.content["attacks"]["badnets"]}
    return world


def run_on(executor: executors.Executor, world: World) -> list[tuple[str, str]]:
    ended = run_cells(world.cells(), world.out, executor, cache=world.cache, name="test")
    return [(item.cell.folder, item.state) for item in ended]


def same(world: World, finished: World) -> None:
    made, known = figures(world.out), figures(finished.out)
    assert len(made) == len(world.cells())
    assert made == {name: known[name] for name in made}


@pytest.fixture
def children_find_us(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(executors.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


@pytest.mark.slow
def test_local_processes_give_the_figures_of_one(world: World, finished: World) -> None:
    assert {state for _, state in run_on(Local(2, 1), one_attack(world))} == {"done"}
    same(world, finished)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_ray_gives_the_same_figures(
    world: World, finished: World, children_find_us: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine; Ray reads it when it is imported
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    assert {state for _, state in run_on(OnRay(1, 1), one_attack(world))} == {"done"}
    same(world, finished)


@pytest.mark.slow
def test_submitit_gives_the_same_figures(world: World, finished: World, children_find_us: None) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    executor = OnSlurm(1, 1, world.out / "slurm", {"cluster": "local", "timeout_min": 10})
    assert {state for _, state in run_on(executor, one_attack(world))} == {"done"}
    same(world, finished)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(world: World, finished: World) -> None:
    killed: list[int] = []
    cells = one_attack(world).cells()  # once: it writes the grid's file, which the run below writes and reads as well

    def kill() -> None:
        while not killed:
            for cell in cells:
                if (world.out / cell.folder / "cell.json").is_file():  # it has begun
                    for worker in multiprocessing.active_children():
                        if worker.pid:
                            os.kill(worker.pid, signal.SIGKILL)
                            killed.append(worker.pid)
                    break
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    assert {state for _, state in run_on(Local(1, 1), world)} == {"done"}
    killer.join()
    assert killed
    same(world, finished)


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_each_time_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "run_packed", die)  # pickled by its name: this module's
    ended = run_on(Local(1, 1), one_attack(world))
    assert {state for _, state in ended} == {"failed"}
    told = json.loads((world.out / ended[0][0] / "failure.json").read_text("utf-8"))
    assert told["kind"] == "killed"
    assert told["sentence"].endswith("It was tried 2 times.")


def die(packed: dict[str, Any]) -> None:
    Path(packed["out"], packed["folder"]).mkdir(parents=True, exist_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_long(packed: dict[str, Any]) -> None:
    time.sleep(60)


def begin_slowly(threads: int, gpu: str | None) -> None:
    time.sleep(8)


@pytest.mark.slow
@pytest.mark.parametrize("begin", [executors._begin, begin_slowly], ids=["while they work", "before they are there"])
def test_leaving_early_ends_the_workers(
    world: World, monkeypatch: pytest.MonkeyPatch, begin: Callable[[int, str | None], None]
) -> None:
    monkeypatch.setattr(executors, "run_packed", wait_long)
    monkeypatch.setattr(executors, "_begin", begin)
    tasks: Sequence[Any] = [
        executors.Task(str(world.out), cell.folder, {}, {}, {}, cell.lines) for cell in one_attack(world).cells()
    ]
    running = Local(2, 1).run(tasks)
    # A shell without job control has what it puts into the background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(4, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupt.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            next(running)
    finally:
        signal.signal(signal.SIGINT, before)
        interrupt.cancel()
    running.close()
    assert time.monotonic() - began < 30
    # A look now and then, not join(): the pool's own thread waits for the same process, and where it is the first to
    # hear of the end, join() comes back with a process that still counts as active.
    while multiprocessing.active_children() and time.monotonic() - began < 50:
        time.sleep(0.1)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_workers_end_with_their_runner(tmp_path: Path) -> None:
    """Without it a worker of a killed runner would wait for ever, with its lock in hand."""
    script = (
        "import multiprocessing, sys, threading, time\n"
        "from openbackdoor_badllm.benchmark.executors import Local, Task\n"
        "tell = lambda: (time.sleep(1), print(multiprocessing.active_children()[0].pid, flush=True))\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=tell).start()\n"
        "    list(Local(1, 1).run([Task(sys.argv[1], 'cells/x', {}, {}, {}, ())]))\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    root = str(Path(executors.__file__).parents[2])
    runner = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert runner.stdout is not None
    worker = int(runner.stdout.readline())
    runner.kill()
    runner.wait()
    for _ in range(300):
        if not Path(f"/proc/{worker}/stat").exists() or " Z " in Path(f"/proc/{worker}/stat").read_text():
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its runner")


@pytest.mark.slow
def test_a_killed_runner_loses_no_finished_cell(world: World, finished: World, tmp_path: Path) -> None:
    """kill -9 at ten random moments: what is finished stays as it is, what is not is made by the next run."""
    rng = random.Random(7)
    context = multiprocessing.get_context("forkserver")  # children come with torch imported, or this takes minutes
    context.set_forkserver_preload(["openbackdoor_badllm.evaluation.experiment", "openbackdoor_badllm.benchmark.cells"])
    arguments = world.arguments("--quiet")
    kept: dict[str, bytes] = {}
    kills = 0
    for _ in range(60):
        child = context.Process(target=main, args=(arguments,))
        child.start()
        child.join(rng.uniform(0.3, 6))
        if child.is_alive() and kills < KILLS:
            child.kill()
            kills += 1
        child.join()
        for file in (world.out / "cells").glob("*/results.json"):
            content = file.read_bytes()
            assert json.loads(content)["lines"], file
            assert kept.setdefault(str(file), content) == content, "a finished cell was made again"
            assert json.loads((file.parent / "made.json").read_text("utf-8"))
        if len(kept) == len(world.cells()):
            if kills == KILLS:
                break
            # Done too early: lose one cell on purpose, so that the next kill meets a run at work.
            lost = rng.choice(sorted(kept))
            shutil.rmtree(Path(lost).parent)
            shutil.rmtree(world.cache)
            del kept[lost]
    assert kills == KILLS
    assert main(arguments) == EXIT_OK
    same(world, finished)
    assert not list(world.out.rglob("failure.json"))


@pytest.mark.slow
def test_two_runners_share_the_cells(world: World, finished: World) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openbackdoor_badllm.evaluation.experiment", "openbackdoor_badllm.benchmark.cells"])
    runners = [context.Process(target=main, args=(world.arguments("--quiet"),)) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert [runner.exitcode for runner in runners] == [0, 0]
    same(world, finished)


def test_slots_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str | None]] = []

    class Slot(executors._Slot):
        def _run(self, task: Any, stop: threading.Event) -> dict[str, Any]:
            seen.append((self.threads, self.gpu))
            time.sleep(0.2)
            return {"state": "done", "sentence": "", "seconds": 0}

    monkeypatch.setattr(executors, "_Slot", Slot)
    tasks = [executors.Task("out", f"cells/{number}", {}, {}, {}, ()) for number in range(3)]
    assert len(list(Local(3, 2, ["0", "1"]).run(tasks))) == 3
    assert sorted(seen, key=str) == [(2, "0"), (2, "0"), (2, "1")]


def test_shares_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    assert open_executor("local", jobs=None, threads=3, out=tmp_path) == Local(2, 3, ["2", "5"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    assert isinstance(open_executor("local", jobs=None, threads=None, out=tmp_path), Inline)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    made = open_executor("local", jobs=3, threads=None, out=tmp_path)
    assert isinstance(made, Local)
    assert made.threads == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert open_executor("ray", jobs=3, threads=None, out=tmp_path) == OnRay(3, 1, [])


def test_settle_sets_threads_and_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "9")
    settle(1, "3")
    assert (os.environ["OMP_NUM_THREADS"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("1", "3")
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.parametrize(("made", "package"), [(OnRay(1, 1), "ray"), (OnSlurm(1, 1, Path("x")), "submitit")])
def test_a_missing_package_is_told(made: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs the package '{package}'.*pip install"):
        next(made.run([]))


@pytest.mark.extras
def test_options_that_submitit_does_not_know_are_told(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    task = executors.Task(str(tmp_path), "cells/x", {}, {}, {}, ())
    for options in ({"cluster": "local", "slurm_partitoin": "gpu"}, {"cluster": "nowhere"}):
        with pytest.raises(ConfigError, match="submitit does not take these options"):
            next(OnSlurm(1, 1, tmp_path / "slurm", options).run([task]))
