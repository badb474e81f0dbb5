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
from pathlib import Path

import pytest

from openbackdoor_badllm.benchmark import executors
from openbackdoor_badllm.benchmark.cell import Cell, Ended, Settings
from openbackdoor_badllm.benchmark.clusters import OnRay, OnSlurm
from openbackdoor_badllm.benchmark.command import main
from openbackdoor_badllm.benchmark.executors import Inline, Local, open_executor, share_of_threads, visible_gpus
from openbackdoor_badllm.benchmark.runner import run_cells
from openbackdoor_badllm.errors import EXIT_OK

from .conftest import World, figures

KILLS = 10


@pytest.fixture(autouse=True)
def children_find_us(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(executors.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine; Ray reads it when it is imported


def run_on(executor: executors.Executor, world: World) -> set[str]:
    world.content["attacks"] = {"badnets": world.content["attacks"]["badnets"]}
    settings = Settings(world.out.resolve(), cache=world.cache, executor="test")
    return {ended.state for ended in run_cells(world.cells(), executor, settings)}


def same(world: World, finished: World) -> None:
    made, known = figures(world.out), figures(finished.out)
    assert len(made) == len(world.cells())
    assert made == {name: known[name] for name in made}
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "ray", "submitit"])
def test_the_figures_do_not_depend_on_the_executor(kind: str, world: World, finished: World) -> None:
    if kind != "local":
        pytest.importorskip(kind, reason=f"the extra of '{kind}' is not installed")
    slurm = OnSlurm(1, world.out / "slurm", {"cluster": "local", "timeout_min": 10})
    assert run_on({"local": Local(2), "ray": OnRay(1), "submitit": slurm}[kind], world) == {"done"}
    same(world, finished)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(world: World, finished: World) -> None:
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            if list((world.out / "cells").glob("*/cell.json")):  # one has begun
                for worker in multiprocessing.active_children():
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
                        killed.append(worker.pid)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_on(Local(1), world) == {"done"}
    killer.join()
    same(world, finished)


def cells(world: World, count: int) -> list[Cell]:
    """Cells that no worker comes to run."""
    names = ("sst-2", "badnets", 0.2, "dirty", "tiny", None, 1, "full")
    return [Cell("references", f"cells/{number}", *names, config={}, identity={}) for number in range(count)]


def die(cell: Cell, settings: Settings, gpu: str | None, answering: object) -> None:
    (settings.out / cell.folder).mkdir(parents=True, exist_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_long(*_: object) -> None:
    time.sleep(60)


def tell_gpu(cell: Cell, settings: Settings, gpu: str | None, answering: multiprocessing.connection.Connection) -> None:
    time.sleep(0.5)
    answering.send(("done", str(gpu), 0.0))


def test_a_cell_that_kills_its_worker_each_time_is_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_serve", die)  # pickled by its name: this module's
    (ended,) = Local(1).run(cells(world, 1), Settings(world.out))
    assert ended.state == "failed"
    told = json.loads((world.out / ended.cell.folder / "failure.json").read_text("utf-8"))
    assert (told["kind"], told["sentence"].endswith("It was tried 2 times.")) == ("killed", True)


def test_cells_take_the_gpus_in_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_serve", tell_gpu)
    ended: list[Ended] = list(Local(3, ["0", "1"]).run(cells(world, 3), Settings(world.out)))
    assert sorted(one.sentence for one in ended) == ["0", "0", "1"]


def test_leaving_early_ends_the_workers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_serve", wait_long)
    # A shell without job control has what it puts into the background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupt.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(Local(2).run(cells(world, 3), Settings(world.out)))
    finally:
        signal.signal(signal.SIGINT, before)
        interrupt.cancel()
    assert time.monotonic() - began < 30
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_workers_end_with_their_runner(tmp_path: Path) -> None:
    """Without it a worker of a killed runner would wait for ever, with its lock in hand."""
    script = (
        "import multiprocessing, sys, threading, time\n"
        "from pathlib import Path\n"
        "from openbackdoor_badllm.benchmark import executors\n"
        "from openbackdoor_badllm.benchmark.cell import Cell, Settings\n"
        "from filelock import FileLock\n"
        "def tell():\n"
        "    while not multiprocessing.active_children(): time.sleep(0.1)\n"
        "    time.sleep(2)\n"
        "    print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    cell = Cell('references', 'x', 'd', 'a', 0.2, 'dirty', 'v', None, 1, 'full', {}, {})\n"
        "    threading.Thread(target=tell).start()\n"
        "    (folder / 'x').mkdir()\n"
        "    with FileLock(folder / 'x' / '.lock'):  # the worker waits for it\n"
        "        list(executors.Local(1).run([cell], Settings(folder, wait=True)))\n"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    runner = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    worker = int(runner.stdout.readline())
    assert Path(f"/proc/{worker}/stat").exists()
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


def test_shares_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    assert open_executor("local", jobs=1, out=tmp_path) == Local(1, ["2", "5"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert isinstance(open_executor("local", jobs=1, out=tmp_path), Inline)
    assert open_executor("local", jobs=3, out=tmp_path) == Local(3, [])
    assert open_executor("ray", jobs=3, out=tmp_path) == OnRay(3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert share_of_threads(3) == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_of_threads(3) == 1
