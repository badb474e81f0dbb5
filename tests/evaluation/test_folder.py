"""The run folder: whole files, safe cells, one config, and a log that disturbs nobody."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import RunFolder, as_json, safe_cell

CONFIG = {"victim": {"path": "minilm"}, "seed": 42}
OURS = "openbackdoor_badllm"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "deep/run", CONFIG)


def test_another_config_is_refused_unless_forced(folder: RunFolder) -> None:
    folder.write_json("results.json", {"lines": []})
    with pytest.raises(
        ConfigError, match=r"holds a run of another config: choose another --out, or add --force to write"
    ):
        RunFolder(folder.path, {**CONFIG, "seed": 43})
    assert json.loads((folder.path / "config.json").read_text(encoding="utf-8")) == CONFIG
    forced = RunFolder(folder.path, {**CONFIG, "seed": 43}, force=True)
    assert forced.finished() is None
    assert json.loads((folder.path / "config.json").read_text(encoding="utf-8"))["seed"] == 43


def test_force_leaves_no_files_of_the_run_before(folder: RunFolder) -> None:
    for name in ("predictions.csv", "flagged.csv", "search.json"):
        folder.write(name, "old")
    folder.write("notes.txt", "somebody's own")
    RunFolder(folder.path, CONFIG, force=True)
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.json", "notes.txt"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file/run", "Not a directory")):
        with pytest.raises(ConfigError, match=rf"^The run folder '{path}' cannot be written: {reason}\.$"):
            RunFolder(path, CONFIG)


def test_a_write_that_fails_leaves_the_old_file(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("a.txt", "old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a.txt", "new")
    assert (folder.path / "a.txt").read_text(encoding="utf-8") == "old"


def test_json_is_standard_json() -> None:
    value = {
        "nan": math.nan, "inf": [math.inf, -math.inf], "np": np.float64("nan"), "path": Path("a"), "text": "é\ud800",
    }  # fmt: skip
    text = as_json(value).encode("utf-8", "backslashreplace").decode("utf-8")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "nan": None, "inf": [None, None], "np": None, "path": "a", "text": "é\ud800",
    }  # fmt: skip


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "|", "%", " =", "\n@", "  +"])
def test_cells_that_a_spreadsheet_would_run(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    assert safe_cell(text) == f"'{text}"


def test_csv_round_trip(folder: RunFolder) -> None:
    texts = [
        'a "quoted", text', "two\nlines", "a\rlone return", "crlf\r\nend", "naïve ☃ 𝄞", "", "null", "'", "a;b\tc",
        "\x1b[31m",
    ]  # fmt: skip
    folder.write_csv("a.csv", ("row", "text"), enumerate(texts))
    with (folder.path / "a.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["row", "text"]
    assert rows == [[str(i), text] for i, text in enumerate(texts)]


def test_the_log_goes_to_its_file_and_nowhere_else(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    root, ours, other = logging.getLogger(), logging.getLogger(OURS), logging.getLogger("somebody.else")
    before = [(log.level, list(log.handlers), log.propagate, log.disabled) for log in (root, ours, other)]
    with folder.log():
        assert [(log.level, log.handlers) for log in (root, other)] == [(s[0], s[1]) for s in (before[0], before[2])]
        logging.getLogger(f"{OURS}.evaluation").info("a stage of %s", "ours")
        logging.getLogger(f"{OURS}.evaluation").debug("a detail")
        other.error("not ours")
    logging.getLogger(f"{OURS}.evaluation").error("too late")
    assert [(log.level, list(log.handlers), log.propagate, log.disabled) for log in (root, ours, other)] == before
    lines = (folder.path / "run.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("INFO openbackdoor_badllm.evaluation: a stage of ours")
    assert capsys.readouterr().out == ""


def test_arrays_are_numbers_and_the_same_bytes_twice(folder: RunFolder) -> None:
    folder.write_arrays("trace.npz", steps=np.arange(3), confidence=np.ones((3, 2), dtype=np.float32))
    first = (folder.path / "trace.npz").read_bytes()
    folder.write_arrays("trace.npz", steps=np.arange(3), confidence=np.ones((3, 2), dtype=np.float32))
    assert (folder.path / "trace.npz").read_bytes() == first
    with np.load(folder.path / "trace.npz", allow_pickle=False) as data:
        assert data["steps"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="arrays of numbers"):
        folder.write_arrays("trace.npz", steps=np.array([object()]))
    assert (folder.path / "trace.npz").read_bytes() == first
