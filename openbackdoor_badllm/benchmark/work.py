"""Runs one cell, in this process or in a worker."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from openbackdoor_badllm.benchmark.cell import (
    CELL,
    DONE,
    ELSEWHERE,
    FAILED,
    FAILURE,
    HELD_BACK,
    LOCK,
    MADE,
    Cell,
    Ended,
    Settings,
)
from openbackdoor_badllm.benchmark.spending import reserved
from openbackdoor_badllm.errors import ConfigError, UserError
from openbackdoor_badllm.evaluation.folder import RESULTS, RunFolder, as_json, write_whole

if TYPE_CHECKING:
    from openbackdoor_badllm.openbackdoor.host import Host
    from openbackdoor_badllm.training.progress import Progress


def settle(threads: int, gpu: str | None = None) -> None:
    """Gives this process its share of the machine. Call it before torch computes anything.

    Args:
        threads: of the CPU.
        gpu: what ``CUDA_VISIBLE_DEVICES`` becomes; None leaves it.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def run_apart(cell: Cell, settings: Settings) -> Ended:
    """:func:`run_cell` in a process that does nothing else."""
    settle(settings.threads)
    return run_cell(cell, settings)


def run_cell(cell: Cell, settings: Settings, progress: Progress | None = None) -> Ended:
    """Runs a cell and leaves its folder finished, or with ``failure.json``.

    A defect of this program is a failure, too: one cell must not end a benchmark of days.
    """
    started, folder = time.monotonic(), settings.out / cell.folder

    def ended(state: str, sentence: str = "") -> Ended:
        return Ended(cell, state, sentence, round(time.monotonic() - started, 1))

    def failed(kind: str, sentence: str, trace: str = "") -> Ended:
        told = ended(FAILED, sentence)
        write_failure(folder, kind, told, trace)
        return told

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return ended(FAILED, f"The cell's folder '{folder}' cannot be made: {error.strerror or error}.")
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / LOCK, timeout=-1 if settings.wait else 0))
        except Timeout:
            return ended(ELSEWHERE)
        if (folder / RESULTS).is_file():  # another runner was faster
            return ended(DONE)
        refusal = stack.enter_context(reserved(cell, settings))
        if refusal is not None:
            return ended(HELD_BACK, refusal)
        (folder / FAILURE).unlink(missing_ok=True)
        write_whole(folder / CELL, as_json(cell.entry()))
        try:
            _run(cell, settings, folder, progress)
        except UserError as error:
            return failed("bad input", str(error))
        except Exception as error:  # noqa: BLE001 - told in the cell's folder, traceback and all
            sentence = f"A defect of this program: {type(error).__name__}: {str(error)[:200]}"
            return failed("defect", " ".join(sentence.split()), traceback.format_exc())
    return ended(DONE)


def write_failure(folder: Path, kind: str, ended: Ended, trace: str = "") -> None:
    """Says in a cell's folder why it failed."""
    told = {"sentence": ended.sentence, "kind": kind, "seconds": ended.seconds}
    write_whole(folder / FAILURE, as_json({**told, **({"traceback": trace} if trace else {})}))


def _run(cell: Cell, settings: Settings, folder: Path, progress: Progress | None) -> None:
    import torch

    from openbackdoor_badllm.evaluation.experiment import Experiment
    from openbackdoor_badllm.openbackdoor.host import open_host
    from openbackdoor_badllm.training.progress import Quiet
    from openbackdoor_badllm.training.store import Store

    began, busy = time.monotonic(), time.process_time()
    torch.set_num_threads(settings.threads)

    def write_made() -> None:
        made = {
            "executor": settings.executor,
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "host": socket.gethostname(),
            "seconds": round(time.monotonic() - began, 1),
            "cpu_seconds": round(time.process_time() - busy, 1),  # of all its threads; the load of others is not in it
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_whole(folder / MADE, as_json(made))

    experiment = Experiment(
        cell.config,
        references="references" in cell.lines,
        undefended="undefended" in cell.lines,
        store=Store(settings.cache),
        progress=progress or Quiet(),
        host=_same_host(cell, open_host(cell.host["name"], settings.openbackdoor)),
    )
    experiment.run(_Folder(folder, cell.identity, write_made))


def _same_host(cell: Cell, host: Host) -> Host:
    """The worker's host, which must be the one that the cell is named by.

    Raises:
        ConfigError: it is OpenBackdoor at another commit.
    """
    named, found = cell.host["revision"], host.revision
    if named != found:
        raise ConfigError(
            f"The cell is of OpenBackdoor at commit '{named}', but on the machine that runs it OpenBackdoor is at "
            f"'{found}': bring them to the same commit."
        )
    return host


class _Folder(RunFolder):
    """A run folder that is told before its last file, ``results.json``, is written: that one ends a cell."""

    def __init__(self, path: Path, config: dict[str, Any], before_results: Callable[[], None]) -> None:
        super().__init__(path, config)
        self._before_results = before_results

    def write_json(self, name: str, value: Any) -> None:
        if name == RESULTS:
            self._before_results()
        super().write_json(name, value)
