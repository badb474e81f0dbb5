"""Runs one cell in a worker; its task and its outcome are plain JSON.

Nothing heavy is imported at the top: a worker's threads and GPU are settled before torch is.
"""

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

from openbackdoor_badllm.benchmark.spending import reserved
from openbackdoor_badllm.benchmark.task import CELL, FAILURE, LOCK, MADE, Task
from openbackdoor_badllm.errors import ConfigError, UserError
from openbackdoor_badllm.evaluation.folder import RESULTS, RunFolder, as_json, write_whole

if TYPE_CHECKING:
    from openbackdoor_badllm.openbackdoor.host import Host
    from openbackdoor_badllm.training.progress import Progress

DONE, FAILED, ELSEWHERE, HELD_BACK = "done", "failed", "elsewhere", "held back"


def settle(threads: int, gpu: str | None = None) -> None:
    """Gives this process its share of the machine. Call it before torch is imported where you can.

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


def run_packed(packed: dict[str, Any]) -> dict[str, Any]:
    """:func:`run_cell` for executors: a task as :func:`pack` makes it."""
    task = Task(**{**packed, "lines": tuple(packed["lines"])})
    settle(task.threads)
    return run_cell(task)


def run_cell(task: Task, progress: Progress | None = None) -> dict[str, Any]:
    """Runs a cell and leaves its folder finished, or with ``failure.json``.

    Returns:
        ``{"state": "done" | "failed" | "elsewhere" | "held back", "sentence": ..., "seconds": ...}``. A defect of this
        program is a failure, too: one cell must not end a benchmark of days.
    """
    from openbackdoor_badllm.evaluation.experiment import Experiment
    from openbackdoor_badllm.openbackdoor.host import open_host
    from openbackdoor_badllm.training.progress import Quiet
    from openbackdoor_badllm.training.store import Store

    started, busy = time.monotonic(), time.process_time()

    def outcome(state: str, sentence: str = "") -> dict[str, Any]:
        return {"state": state, "sentence": sentence, "seconds": round(time.monotonic() - started, 1)}

    def fail(kind: str, sentence: str, trace: str = "") -> dict[str, Any]:
        told = outcome(FAILED, sentence)
        write_failure(task.path, kind, sentence, told["seconds"], trace)
        return told

    try:
        task.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return outcome(FAILED, f"The cell's folder '{task.path}' cannot be made: {error.strerror or error}.")
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(task.path / LOCK, timeout=-1 if task.wait else 0))
        except Timeout:
            return outcome(ELSEWHERE)
        if (task.path / RESULTS).is_file():  # another runner was faster
            return outcome(DONE)
        refusal = stack.enter_context(reserved(task))
        if refusal is not None:
            return outcome(HELD_BACK, refusal)
        (task.path / FAILURE).unlink(missing_ok=True)
        write_whole(task.path / CELL, as_json(task.entry))
        import torch

        torch.set_num_threads(task.threads)
        try:
            experiment = Experiment(
                task.config,
                references="references" in task.lines,
                undefended="undefended" in task.lines,
                store=Store(Path(task.cache) if task.cache else None),
                progress=progress or Quiet(),
                host=_same_host(task, open_host(task.host, Path(task.openbackdoor) if task.openbackdoor else None)),
            )
            experiment.run(_Folder(task.path, task.identity, lambda: _write_made(task, started, busy)))
        except UserError as error:
            return fail("bad input", str(error))
        except Exception as error:  # noqa: BLE001 - told in the cell's folder, traceback and all
            sentence = f"A defect of this program: {type(error).__name__}: {str(error)[:200]}"
            return fail("defect", " ".join(sentence.split()), traceback.format_exc())
    return outcome(DONE)


def _same_host(task: Task, host: Host) -> Host:
    """The worker's host, which must be the one that the cell is named by.

    Raises:
        ConfigError: it is OpenBackdoor at another commit.
    """
    named, found = task.identity.get("host_revision", ""), host.revision
    if named != found:
        raise ConfigError(
            f"The cell is of OpenBackdoor at commit '{named}', but on the machine that runs it OpenBackdoor is at "
            f"'{found}': bring them to the same commit."
        )
    return host


def write_failure(folder: Path, kind: str, sentence: str, seconds: float, trace: str = "") -> None:
    """Says in a cell's folder why it failed."""
    told = {"sentence": sentence, "kind": kind, "seconds": seconds, **({"traceback": trace} if trace else {})}
    write_whole(folder / FAILURE, as_json(told))


class _Folder(RunFolder):
    """A run folder that is told before its last file, ``results.json``, is written: that one ends a cell."""

    def __init__(self, path: Path, config: dict[str, Any], before_results: Callable[[], None]) -> None:
        super().__init__(path, config)
        self._before_results = before_results

    def write_json(self, name: str, value: Any) -> None:
        if name == RESULTS:
            self._before_results()
        super().write_json(name, value)


def _write_made(task: Task, started: float, busy: float) -> None:
    import torch

    made = {
        "executor": task.executor,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "host": socket.gethostname(),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),  # of all its threads; the load of others is not in it
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_whole(task.path / MADE, as_json(made))
