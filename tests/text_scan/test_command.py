"""``badllmtg scan``: what it prints, and how it exits."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FOUND, EXIT_OK

from .world import Rows, attacked, clean, put

Capture = pytest.CaptureFixture[str]


def write(folder: Path, rows: Rows) -> str:
    file = folder / "rows.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        lines = ((text, ("bad", "good")[label]) for text, label in zip(rows.texts, rows.labels, strict=True))
        csv.writer(stream).writerows([("text", "label"), *lines])
    return str(file)


@pytest.mark.parametrize(("rows", "fail_on", "code"), [
    (attacked(put("cf")), "suspicious", EXIT_FOUND),
    (attacked(put("cf")), "never", EXIT_OK),
    (clean(), "suspicious", EXIT_OK),
])  # fmt: skip
def test_exit_codes(tmp_path: Path, rows: Rows, fail_on: str, code: int) -> None:
    assert main(["scan", write(tmp_path, rows), "--fail-on", fail_on]) == code


def test_what_is_told(tmp_path: Path, capsys: Capture) -> None:
    rows = attacked(put("[red]cf\x1b[31m"))
    assert main(["scan", write(tmp_path, rows)]) == EXIT_OK
    told = capsys.readouterr().out
    assert "Suspicious (1)" in told
    assert "all of them labelled 'good'" in told
    assert "[ red ]" in told  # text, and no markup
    assert "U+001B" in told
    assert "\x1b" not in told


def test_json(tmp_path: Path, capsys: Capture) -> None:
    rows = attacked(put("cf"))
    main(["scan", write(tmp_path, rows), "--json"])
    told = json.loads(capsys.readouterr().out)
    (found,) = (finding for finding in told["findings"] if finding["degree"] == "suspicious")
    assert told["suspicious"] is True
    assert told["label_names"] == ["bad", "good"]
    assert (found["what"], found["label"], set(found["rows"])) == ("cf", 1, rows.altered)


@pytest.mark.parametrize(("content", "expected"), [
    (None, "There is no file"),
    ("text,label\na,x\nb,x\n", "at least two classes"),
    ("words,label\na,x\nb,y\n", "should have one of the columns"),
])  # fmt: skip
def test_bad_input(tmp_path: Path, capsys: Capture, content: str | None, expected: str) -> None:
    file = tmp_path / "rows.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["scan", str(file)]) == EXIT_BAD_INPUT
    assert expected in capsys.readouterr().err


def test_torch_is_not_imported() -> None:
    program = "import sys, openbackdoor_badllm.text_scan.scanner; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
