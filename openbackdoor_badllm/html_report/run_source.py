"""Reads the folder of one run. Nothing is unpickled, no model is loaded, no file is trusted to be whole."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import CONFIG, FLAGGED, RESULTS, SEARCH, TRACE, read_cells, read_object
from openbackdoor_badllm.evaluation.show import story

SHOWN_ROWS = 20
KEPT = 4000  # characters of a row that are looked at; a whole book in one cell is no reason to fail


@dataclass
class RunFiles:
    """What a finished run left.

    Attributes:
        config: as resolved.
        results: ``results.json``.
        story: the search as :func:`openbackdoor_badllm.evaluation.show.story` tells it; None without a trigger search.
        flagged: the first rows of ``flagged.csv``; ``flagged_count`` is how many it has.
        trace: arrays of ``trace.npz``; None where none was kept.
    """

    config: dict[str, Any]
    results: dict[str, Any]
    story: dict[str, Any] | None = None
    flagged: list[dict[str, str]] = field(default_factory=list)
    flagged_count: int = 0
    trace: dict[str, npt.NDArray[Any]] | None = None


def open_run(folder: Path) -> RunFiles:
    """Reads a run.

    Raises:
        ConfigError: it has not come to its end, or its files are not what this program writes.
    """
    results = read_object(folder / RESULTS)
    if results is None:
        if (folder / RESULTS).is_file():
            raise ConfigError(f"'{folder / RESULTS}' is no JSON of a run: run 'badllmtg defend' again with --force.")
        raise ConfigError(
            f"The run in '{folder}' has not come to its end (it has no results.json): the same 'badllmtg defend' goes "
            "on with it; then ask for the report again."
        )
    if not isinstance(results.get("lines"), list):
        raise ConfigError(f"'{folder / RESULTS}' holds no results of a run: name the folder of one.")
    files = RunFiles(read_object(folder / CONFIG) or {}, results)
    _add_references(files, folder)
    if results.get("report") and (folder / SEARCH).is_file():
        files.story = story(folder)
    for row in read_cells(folder / FLAGGED):
        files.flagged_count += 1
        if files.flagged_count <= SHOWN_ROWS:
            files.flagged.append({name: cell[:KEPT] for name, cell in row.items()})
    files.trace = read_trace(folder / TRACE)
    return files


def read_trace(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The trace of a run; None where none was kept or the file is torn. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in ("steps", "confidence", "labels", "poisoned")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _add_references(files: RunFiles, folder: Path) -> None:
    """A benchmark's cell has the line ``defended`` alone; the others of its pair lie in the cell that it names."""
    named = (read_object(folder / "cell.json") or {}).get("references")
    if isinstance(named, str):
        beside = read_object(folder.resolve().parent / Path(named).name / RESULTS) or {}
        known = {line["name"] for line in files.results["lines"]}
        files.results["lines"] += [line for line in beside.get("lines", []) if line["name"] not in known]
