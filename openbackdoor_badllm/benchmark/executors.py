"""Executors of cells: this process or local processes; :mod:`.clusters` has Ray and Slurm.

Each executor takes tasks and gives back ``(task, outcome)`` as they end. A cell whose process died is tried once more,
then it is a failure. Left early (Ctrl-C), an executor ends what it began; the cells in hand are lost, no other.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from openbackdoor_badllm.benchmark.task import Task, pack
from openbackdoor_badllm.benchmark.work import FAILED, run_cell, run_packed, settle, write_failure
from openbackdoor_badllm.training.progress import Progress

Outcome = dict[str, Any]
NAMES = ("local", "ray", "slurm")
TRIES = 2
KILLED = "Its process died before it could say why (killed, or out of memory)."


class Executor(Protocol):
    """Runs tasks."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
        """Each task with its outcome, in the order in which they end."""


@dataclass
class Inline:
    """One after the other, in this process."""

    threads: int = 1
    progress: Progress | None = None

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
        """See :class:`Executor`."""
        for task in tasks:
            yield task, run_cell(replace(task, threads=self.threads), self.progress)


@dataclass
class Local:
    """``jobs`` processes of this machine; each has its share of the threads and, in turn, one of the GPUs.

    A slot is a pool of one process, so that a process that dies takes no other cell with it.
    """

    jobs: int
    threads: int
    gpus: Sequence[str] = ()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
        """See :class:`Executor`."""
        waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(replace(task, threads=self.threads))
        ended: queue.SimpleQueue[tuple[Task, Outcome] | BaseException] = queue.SimpleQueue()
        stop = threading.Event()
        count = max(1, min(self.jobs, len(tasks)))
        slots = [
            _Slot(self.threads, self.gpus[number % len(self.gpus)] if self.gpus else None) for number in range(count)
        ]
        threads = [
            threading.Thread(target=slot.serve, args=(waiting, ended, stop), daemon=True) for slot in slots
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in tasks:
                item = ended.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            for slot in slots:
                slot.end()
            for thread in threads:
                thread.join()


@dataclass
class _Slot:
    """One worker process and the thread that feeds it."""

    threads: int
    gpu: str | None
    pool: ProcessPoolExecutor | None = None
    pid: int = 0

    def serve(self, waiting: queue.SimpleQueue[Task], ended: queue.SimpleQueue[Any], stop: threading.Event) -> None:
        """Runs tasks until none is left."""
        try:
            while not stop.is_set():
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    break
                outcome = self._run(task, stop)
                if not stop.is_set():
                    ended.put((task, outcome))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            ended.put(error)
        finally:
            if self.pool is not None:
                self.pool.shutdown(cancel_futures=True)  # ended by :meth:`end`, or idle

    def end(self) -> None:
        """Ends the process at once; what it had in hand is lost."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def _run(self, task: Task, stop: threading.Event) -> Outcome:
        began = time.monotonic()
        for _ in range(TRIES):
            if stop.is_set():
                break
            try:
                worker = self._worker()
                if stop.is_set():  # :meth:`end` came before there was a process that it could end
                    self.end()
                    break
                return worker.submit(run_packed, pack(task)).result()
            except BrokenProcessPool:
                self.pool, self.pid = None, 0
        if stop.is_set():
            return {}
        return killed(task, time.monotonic() - began)

    def _worker(self) -> ProcessPoolExecutor:
        if self.pool is None:
            # spawn: a forked child would share this process's CUDA context and the locks of its threads.
            self.pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_begin, initargs=(self.threads, self.gpu)
            )
            self.pid = self.pool.submit(os.getpid).result()
        return self.pool


def _begin(threads: int, gpu: str | None) -> None:
    """In a new worker: its share of the machine, and an end with its parent."""
    settle(threads, gpu)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends its workers
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # without a parent nobody takes the result; the lock of the cell is given back


def killed(task: Task, seconds: float) -> Outcome:
    """The outcome of a cell whose process died each time."""
    sentence = f"{KILLED} It was tried {TRIES} times."
    if not (task.path / "results.json").is_file():
        write_failure(task.path, "killed", sentence, round(seconds, 1))
    return {"state": FAILED, "sentence": sentence, "seconds": round(seconds, 1)}


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip() and name.strip() != "-1"]
    return [str(number) for number in range(torch.cuda.device_count())]


def open_executor(
    name: str,
    *,
    jobs: int | None,
    threads: int | None,
    out: Path,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Executor:
    """The executor of a name.

    Args:
        name: ``local``, ``ray`` or ``slurm``.
        jobs: cells at a time; one for each GPU when None, else one.
        threads: of each; ``OMP_NUM_THREADS``, else the machine's cores divided by ``jobs``, when None.
        out: the benchmark's output folder.
        options: of Slurm.
        progress: hears of the steps within a cell, where cells run in this process.
    """
    from openbackdoor_badllm.benchmark.clusters import OnRay, OnSlurm  # which needs this module

    gpus = visible_gpus()
    jobs = jobs or max(1, len(gpus))
    threads = threads or _share(jobs)
    if name == "ray":
        return OnRay(jobs, threads, gpus)
    if name == "slurm":
        return OnSlurm(jobs, threads, out / "slurm", options or {})
    if jobs == 1 and len(gpus) < 2:  # of several GPUs a cell gets one, which takes a process of its own
        return Inline(threads, progress)
    return Local(jobs, threads, gpus)


def _share(jobs: int) -> int:
    """Threads of each job: what OMP_NUM_THREADS says, else the cores that this process may use, divided."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)
