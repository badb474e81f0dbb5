"""Reads the folder of one run. Nothing is unpickled, no model is loaded, no file is trusted to be whole."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import CONFIG, FLAGGED, RESULTS, SEARCH, TRACE, as_written
from openbackdoor_badllm.evaluation.show import story

SHOWN_ROWS = 20
KEPT = 4000  # characters of a row that are looked at; a whole book in one cell is no reason to fail


@dataclass(frozen=True)
class VictimTrace:
    """The victim's confidence in the watched rows' own labels.

    Attributes:
        steps: optimisation steps, shape ``(T,)``.
        confidence: probabilities, shape ``(T, n)``.
        labels: shape ``(n,)``.
        poisoned: the flags that the evaluation gave, shape ``(n,)``.
    """

    steps: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    poisoned: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FlaggedRow:
    """A training row that carries a trigger."""

    row: str
    probability: str
    trigger: str
    label: str
    text: str
    without: str


@dataclass
class RunFiles:
    """What a finished run left.

    Attributes:
        config: as resolved.
        results: ``results.json``.
        story: the search as :func:`openbackdoor_badllm.evaluation.show.story` tells it; None without a trigger search.
        flagged: the first rows of ``flagged.csv``; ``flagged_count`` is how many it has.
        trace: the victim's confidence; None where none was kept.
    """

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    story: dict[str, Any] | None = None
    flagged: list[FlaggedRow] = field(default_factory=list)
    flagged_count: int = 0
    trace: VictimTrace | None = None


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
    if not isinstance(results.get("lines"), list) or not all(isinstance(line, dict) for line in results["lines"]):
        raise ConfigError(f"'{folder / RESULTS}' holds no results of a run: name the folder of one.")
    files = RunFiles(folder, read_object(folder / CONFIG) or {}, results)
    _add_references(files)
    if isinstance(results.get("report"), dict) and (folder / SEARCH).is_file():
        files.story = story(folder)
    files.flagged, files.flagged_count = read_flagged(folder / FLAGGED)
    files.trace = read_trace(folder / TRACE)
    return files


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_trace(path: Path) -> VictimTrace | None:
    """The trace of a run; None where none was kept or the file is torn. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as data:
            trace = VictimTrace(data["steps"], data["confidence"], data["labels"], data["poisoned"].astype(bool))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    points, rows = len(trace.steps), trace.labels.size
    shapes = (trace.confidence.shape == (points, rows), trace.poisoned.shape == (rows,), points > 0, rows > 0)
    return trace if all(shapes) else None


def read_flagged(path: Path, limit: int = SHOWN_ROWS) -> tuple[list[FlaggedRow], int]:
    """The first rows of ``flagged.csv``, and how many it has in all."""
    kept: list[FlaggedRow] = []
    count = 0
    for row in _records(path):
        count += 1
        if len(kept) < limit:
            cells = [as_written(str(row.get(name) or "")[:KEPT]) for name in _COLUMNS]
            kept.append(FlaggedRow(*cells))
    return kept, count


_COLUMNS = ("row", "probability", "trigger", "label", "text", "text_without_trigger")


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, whatever stands in them."""
    if not path.is_file():
        return
    before = csv.field_size_limit(2**31 - 1)  # a row may be a book; the limit is the module's and is put back
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            yield from csv.DictReader(line.replace("\0", "\ufffd") for line in stream)
    finally:
        csv.field_size_limit(before)


def _add_references(files: RunFiles) -> None:
    """A benchmark's cell has the line ``defended`` alone; the others of its pair lie in the cell that it names."""
    cell = read_object(files.folder / "cell.json") or {}
    named = cell.get("references")
    if not isinstance(named, str):
        return
    beside = read_object(files.folder.resolve().parent / Path(named).name / RESULTS) or {}
    known = {line.get("name") for line in files.results["lines"]}
    more = beside.get("lines")
    for line in more if isinstance(more, list) else []:
        if isinstance(line, dict) and line.get("name") not in known:
            files.results["lines"].append(line)
