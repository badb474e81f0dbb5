"""The folder that a run leaves. Every file is written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import math
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

import openbackdoor_badllm
from openbackdoor_badllm.errors import ConfigError

RESULTS = "results.json"
CONFIG = "config.json"
TRACE = "trace.npz"
FLAGGED = "flagged.csv"
SEARCH = "search.json"
PREDICTIONS = "predictions.csv"
TRANSCRIPT = "transcript.jsonl"
REPAIRED, MODEL = "repaired.jsonl", "model"
"""What an audit leaves: rows to train on, and the folder of a clean model."""
PLAN = "repair.json"
"""What a repair of the victim needs, so that it can be made later."""
PAGE = "report.html"
PACKAGES = ("torch", "transformers", "accelerate", "numpy", "scikit-learn", "scipy", "openai")


class RunFolder:
    """A run's folder.

    Args:
        path: where; made when needed.
        config: the config as resolved; a folder of another config is refused.
        force: use the folder whatever it holds.

    Raises:
        ConfigError: the folder belongs to another config, or cannot be written.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], *, force: bool = False) -> None:
        self.path = path
        text = json.dumps(config, indent=2, sort_keys=True, default=str)
        try:
            path.mkdir(parents=True, exist_ok=True)
            known = path / CONFIG
            # A run that has no results yet left nothing but its config: mostly one that was refused for a typing error.
            done = known.is_file() and (path / RESULTS).is_file()
            if done and not force and known.read_text(encoding="utf-8", errors="replace") != text:
                raise ConfigError(
                    f"The folder '{path}' holds a run of another config: choose another --out, or add --force to write "
                    "over it."
                )
            if force:
                # A folder of that name may be somebody's own, unless the results say that it was made here.
                if (self.finished() or {}).get("files"):
                    shutil.rmtree(path / MODEL, ignore_errors=True)
                for name in (RESULTS, PREDICTIONS, FLAGGED, SEARCH, REPAIRED, TRACE, PLAN, PAGE):
                    (path / name).unlink(missing_ok=True)
            self.write(CONFIG, text)
        except OSError as error:
            raise ConfigError(f"The run folder '{path}' cannot be written: {error.strerror or error}.") from None

    def finished(self) -> dict[str, Any] | None:
        """The results of a run that came to its end, else None."""
        file = self.path / RESULTS
        if not file.is_file():
            return None
        try:
            results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            return None
        return results

    def write(self, name: str, text: str) -> None:
        """Writes a file by way of a draft beside it."""
        write_whole(self.path / name, text)

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        """Writes a file line by line, by way of a draft beside it."""
        write_whole(self.path / name, (line.encode("utf-8", "backslashreplace") for line in lines))

    def write_json(self, name: str, value: Any) -> None:
        """Writes JSON; see :func:`as_json`."""
        self.write(name, as_json(value))

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Writes a CSV that a spreadsheet opens without running anything in it."""
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(header)
        writer.writerows([[safe_cell(cell) for cell in row] for row in rows])
        self.write(name, buffer.getvalue())

    def write_arrays(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        """Writes arrays of numbers as ``.npz``, to be read with ``allow_pickle=False``; the same bytes every time.

        Raises:
            ValueError: an array would have to be pickled.
        """
        if any(array.dtype.hasobject for array in arrays.values()):
            raise ValueError(f"'{name}' is for arrays of numbers")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **cast("dict[str, Any]", arrays))
        write_whole(self.path / name, buffer.getvalue())

    @contextmanager
    def log(self) -> Iterator[None]:
        """Sends the package's log to ``run.log`` while the run lasts; other packages' logs are left alone."""
        handler = logging.FileHandler(self.path / "run.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger(openbackdoor_badllm.__name__)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)
            handler.close()


def write_whole(file: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Writes a file by way of a draft beside it, so that a crash leaves the old one or the new one."""
    draft = file.parent / f".{file.name}.draft"
    with draft.open("wb") as stream:
        if isinstance(content, str):
            content = content.encode("utf-8", "backslashreplace")
        stream.writelines([content] if isinstance(content, bytes) else content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def write_changed(file: Path, content: str) -> None:
    """:func:`write_whole` where the file does not hold just that: its time then tells when it last changed."""
    try:
        if file.read_bytes() == content.encode("utf-8", "backslashreplace"):
            return
    except OSError:
        pass
    write_whole(file, content)


def safe_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: rows are the attacker's text (OWASP: CSV injection)."""
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@", "|", "%"):
        return "'" + value
    if isinstance(value, str) and value[:1] in ("\t", "\r", "\n"):
        return "'" + value
    return value


def as_written(cell: str) -> str:
    """A cell without the quotation mark by which :func:`safe_cell` keeps a spreadsheet from running it."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell


def read_cells(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that a run left, cells as they were written; none where there is no such file."""
    if not path.is_file():
        return
    before = csv.field_size_limit(2**31 - 1)  # a row may be a book; the limit is the module's and is put back
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            for row in csv.DictReader(line.replace("\0", "\ufffd") for line in stream):
                yield {name: as_written(str(cell or "")) for name, cell in row.items() if name is not None}
    finally:
        csv.field_size_limit(before)


def as_json(value: Any) -> str:
    """Indented JSON, line end included; numbers that are nan or infinite, which JSON has not, become null."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def config_hash(config: Mapping[str, Any], digits: int = 8) -> str:
    """Hex digits that name a config."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:digits]


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def file_hash(path: Path) -> str:
    """Sixteen hex digits that name what a file, or all files of a folder, hold."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:16]


def safe_name(text: str) -> str:
    """A piece of a file name, of text that somebody else chose."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:40].strip(".-") or "x"


def versions() -> dict[str, str]:
    """Versions of what shapes a result."""
    found = {"openbackdoor-badllm": openbackdoor_badllm.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
