"""Cells on other machines: on Ray, or on Slurm through submitit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.cell import Cell, Ended, Settings
from openbackdoor_badllm.benchmark.executors import TRIES, killed
from openbackdoor_badllm.benchmark.work import run_apart
from openbackdoor_badllm.errors import ConfigError, MissingExtraError, UserError


@dataclass
class OnRay:
    """Ray tasks: on the cluster that ``RAY_ADDRESS`` names, else on a local Ray that is begun and ended here."""

    jobs: int

    def run(self, cells: Sequence[Cell], settings: Settings) -> Iterator[Ended]:
        """See :class:`.executors.Executor`."""
        try:
            import ray
        except ModuleNotFoundError:
            raise MissingExtraError("ray", "ray", "The executor 'ray'") from None
        begun = not ray.is_initialized()
        if begun:
            address = os.environ.get("RAY_ADDRESS")
            local = {} if address else {"num_cpus": self.jobs * settings.threads, "include_dashboard": False}
            try:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
            except Exception as error:  # noqa: BLE001 - Ray raises plain Exceptions here
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"Ray cannot be started or reached ({reason}): check RAY_ADDRESS; a slow machine may need "
                    "more time, RAY_raylet_start_wait_time_s=300."
                ) from None
        try:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            remote = ray.remote(num_cpus=settings.threads, num_gpus=gpus, max_retries=TRIES - 1)(run_apart)
            running = {remote.remote(cell, settings): cell for cell in cells}
            began = time.monotonic()
            while running:
                ready, _ = ray.wait(list(running), num_returns=1)
                cell = running.pop(ready[0])
                try:
                    yield ray.get(ready[0])
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                    yield killed(cell, settings, time.monotonic() - began)
        finally:
            if begun:
                ray.shutdown()


@dataclass
class OnSlurm:
    """Slurm jobs through submitit; each cell is a job of one task.

    Attributes:
        folder: for submitit's scripts and logs; every node must see it.
        options: of ``AutoExecutor.update_parameters`` (``timeout_min``, ``slurm_partition``, ``gpus_per_node``, ...);
            ``cluster`` is ``slurm``, or ``local`` for submitit's own local executor.
    """

    jobs: int
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, cells: Sequence[Cell], settings: Settings) -> Iterator[Ended]:
        """See :class:`.executors.Executor`."""
        try:
            import submitit
        except ModuleNotFoundError:
            raise MissingExtraError("submitit", "slurm", "The executor 'slurm'") from None
        options = {"timeout_min": 24 * 60, **self.options}
        cluster = options.pop("cluster", "slurm")
        try:
            executor = submitit.AutoExecutor(folder=self.folder, cluster=cluster)
            if cluster == "slurm":
                options.setdefault("slurm_array_parallelism", self.jobs)
            executor.update_parameters(cpus_per_task=settings.threads, **options)
        except (RuntimeError, ValueError, TypeError, NameError, AssertionError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"submitit does not take these options of --slurm: {reason}") from None
        waiting = [(cell, 1) for cell in cells]
        running: list[tuple[Any, Cell, int]] = []
        began = time.monotonic()
        try:
            while waiting or running:
                # Slurm takes all at once, as an array that it spreads itself; the local executor knows no bound.
                room = len(waiting) if cluster == "slurm" else self.jobs - len(running)
                batch, waiting = waiting[: max(0, room)], waiting[max(0, room) :]
                if batch:
                    jobs = executor.map_array(run_apart, [cell for cell, _ in batch], [settings] * len(batch))
                    running += [(job, cell, tries) for job, (cell, tries) in zip(jobs, batch, strict=True)]
                ready = [item for item in running if item[0].done()]
                running = [item for item in running if item not in ready]
                for job, cell, tries in ready:
                    try:
                        yield job.result()
                    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError):
                        if tries < TRIES:
                            waiting.append((cell, tries + 1))
                        else:
                            yield killed(cell, settings, time.monotonic() - began)
                if not ready:
                    time.sleep(0.5)
        finally:
            for job, _, _ in running:
                with suppress(Exception):
                    job.cancel(check=False)
