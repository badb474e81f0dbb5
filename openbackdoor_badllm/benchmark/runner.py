"""Runs the cells of a comparison: each config with each seed, in a folder of its own.

A cell that came to its end is not run again; one that fails says why in one sentence and does not stop the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openbackdoor_badllm.engine.progress import Progress
from openbackdoor_badllm.engine.store import Store
from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.host import Host, open_host
from openbackdoor_badllm.reading import load_json
from openbackdoor_badllm.run.experiment import SECTIONS, Experiment, resolve
from openbackdoor_badllm.run.folder import RunFolder, config_hash

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One config with one seed."""

    config: Path
    seed: int
    resolved: dict[str, Any]

    def folder(self, out: Path, profile: str) -> Path:
        """Where its run goes; named by what defines it."""
        return out / f"{self.config.stem}-{profile}-seed{self.seed}-{config_hash(self.resolved)}"


@dataclass(frozen=True)
class CellResult:
    """A finished cell, or the sentence that says why it is none."""

    cell: Cell
    results: dict[str, Any] | None
    failure: str = ""


def plan(
    configs: Sequence[Path],
    seeds: Sequence[int],
    *,
    profile: str,
    overrides: Sequence[str] = (),
    data_root: Path | None = None,
    host: Host | None = None,
) -> list[Cell]:
    """All cells; a config that cannot be read or resolved is told before anything runs.

    Raises:
        ConfigError: a config is missing or wrong.
    """
    return [
        Cell(path, seed, {**resolved, "references": True, **(host.identity if host else {})})
        for seed in seeds
        for path in configs
        for resolved in [
            resolve(load_json(path), profile=profile, overrides=overrides, data_root=data_root, seed=seed)
        ]
    ]


def run_cells(
    cells: Sequence[Cell], out: Path, *, profile: str, store: Store, progress: Progress, host: Host | None = None
) -> Iterator[CellResult]:
    """Runs what is missing, in order, and hands on each cell when it is done."""
    for number, cell in enumerate(cells, start=1):
        progress.stage(f"cell {number} of {len(cells)}: {cell.config.stem}, seed {cell.seed}")
        config = {key: value for key, value in cell.resolved.items() if key in SECTIONS}
        try:
            folder = RunFolder(cell.folder(out, profile), cell.resolved)
            results = Experiment(config, store=store, progress=progress, host=host or open_host()).run(folder)
        except UserError as error:
            logger.warning("%s failed: %s", cell.config.stem, error)
            yield CellResult(cell, None, str(error))
        else:
            yield CellResult(cell, results)
