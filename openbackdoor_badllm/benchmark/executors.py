"""Executors of cells: this process or local processes; :mod:`.clusters` has Ray and Slurm.

Each executor takes cells and says how each ended, in the order in which they end. A cell whose process died is tried
once more, then it is a failure. Left early (Ctrl-C), an executor ends what it began; the cells in hand are lost.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from openbackdoor_badllm.benchmark.cell import FAILED, Cell, Ended, Settings
from openbackdoor_badllm.benchmark.work import run_apart, run_cell, settle, write_failure
from openbackdoor_badllm.training.progress import Progress

NAMES = ("local", "ray", "slurm")
TRIES = 2
KILLED = "Its process died before it could say why (killed, or out of memory)."


class Executor(Protocol):
    """Runs cells."""

    def run(self, cells: Sequence[Cell], settings: Settings) -> Iterator[Ended]:
        """How each ended, in the order in which they end."""


@dataclass
class Inline:
    """One after the other, in this process."""

    progress: Progress | None = None

    def run(self, cells: Sequence[Cell], settings: Settings) -> Iterator[Ended]:
        """See :class:`Executor`."""
        for cell in cells:
            yield run_cell(cell, settings, self.progress)


@dataclass
class Local:
    """A process of this machine for each cell, ``jobs`` at a time; each has, in turn, one of the GPUs.

    The processes are forked from one that has imported torch and nothing more, so that a new one costs no time.
    """

    jobs: int
    gpus: Sequence[str] = ()

    def run(self, cells: Sequence[Cell], settings: Settings) -> Iterator[Ended]:
        """See :class:`Executor`."""
        context = get_context("forkserver")
        context.set_forkserver_preload(["openbackdoor_badllm.evaluation.experiment"])
        waiting = deque(_Try(cell) for cell in cells)
        running: list[_Try] = []
        free = list(range(self.jobs))
        try:
            while waiting or running:
                while waiting and free:
                    slot = free.pop(0)
                    gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
                    running.append(waiting.popleft())
                    running[-1].begin(context, slot, settings, gpu)
                connection.wait([one.process.sentinel for one in running])
                for one in [one for one in running if not one.process.is_alive()]:
                    running.remove(one)
                    free.append(one.slot)
                    outcome = one.outcome()
                    if outcome is None and one.number < TRIES:
                        waiting.append(one)
                    else:
                        yield outcome or killed(one.cell, settings, time.monotonic() - one.began)
        finally:
            for one in running:
                one.process.terminate()
                one.process.join()


class _Try:
    """A cell and the process that runs it."""

    process: ForkServerProcess
    slot: int

    def __init__(self, cell: Cell) -> None:
        self.cell, self.number, self.began = cell, 0, time.monotonic()

    def begin(self, context: Any, slot: int, settings: Settings, gpu: str | None) -> None:
        self.slot = slot
        self.number += 1
        self.answer, answering = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(self.cell, settings, gpu, answering))
        self.process.start()
        answering.close()

    def outcome(self) -> Ended | None:
        """What the process said at its end; None where it died before."""
        try:
            return Ended(self.cell, *self.answer.recv())
        except EOFError:
            return None


def _serve(cell: Cell, settings: Settings, gpu: str | None, answering: connection.Connection) -> None:
    """In a new process: its share of the machine, an end with its parent, and the cell."""
    settle(settings.threads, gpu)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends its workers
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    answering.send(run_apart(cell, settings)[1:])


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # without a parent nobody takes the result; the lock of the cell is given back


def killed(cell: Cell, settings: Settings, seconds: float) -> Ended:
    """The end of a cell whose process died each time."""
    ended = Ended(cell, FAILED, f"{KILLED} It was tried {TRIES} times.", round(seconds, 1))
    if not cell.done(settings.out):
        write_failure(settings.out / cell.folder, "killed", ended)
    return ended


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip() and name.strip() != "-1"]
    return [str(number) for number in range(torch.cuda.device_count())]


def open_executor(
    name: str, *, jobs: int, out: Path, options: Mapping[str, Any] | None = None, progress: Progress | None = None
) -> Executor:
    """The executor of a name.

    Args:
        name: ``local``, ``ray`` or ``slurm``.
        jobs: cells at a time.
        out: the benchmark's output folder.
        options: of Slurm.
        progress: hears of the steps within a cell, where cells run in this process.
    """
    from openbackdoor_badllm.benchmark.clusters import OnRay, OnSlurm  # which needs this module

    if name == "ray":
        return OnRay(jobs)
    if name == "slurm":
        return OnSlurm(jobs, out / "slurm", options or {})
    gpus = visible_gpus()
    if jobs == 1 and len(gpus) < 2:  # of several GPUs a cell gets one, which takes a process of its own
        return Inline(progress)
    return Local(jobs, gpus)


def share_of_threads(jobs: int) -> int:
    """Threads of each job: what OMP_NUM_THREADS says, else the cores that this process may use, divided."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)
