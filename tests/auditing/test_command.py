"""``badllmtg audit`` and ``repair`` as people and pipelines call them: files, formats, exit codes, what is left."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml
from tiny_world import SEARCH, TRAIN, reviews, write_csv

from openbackdoor_badllm.auditing import json_schema
from openbackdoor_badllm.cli import main
from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FOUND, EXIT_OK
from openbackdoor_badllm.training.trained import class_names

from .conftest import CARRYING, LABELS, NAMES, TEXTS
from .test_formats import sarif_checks

ROOT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]


def small(bert: Path, cache: Path) -> list[str]:
    """Options that make an audit small."""
    keys = {"victim.device": "cpu", "victim.max_len": 32, **{f"train.{k}": v for k, v in TRAIN.items()},
            "defender.search": SEARCH}  # fmt: skip
    words = [f"--set={key}={json.dumps(value, separators=(',', ':'))}" for key, value in keys.items()]
    return ["--victim", str(bert), "--cache", str(cache), "--quiet", *words]


class Made(NamedTuple):
    folder: Path
    words: list[str]
    code: int
    out: str

    @property
    def run(self) -> Path:
        return self.folder / "out"


def rows_in(folder: Path, *, parts: int = 1) -> None:
    rows = list(zip(TEXTS, LABELS, strict=True))
    size = -(-len(rows) // parts)
    for part in range(parts):
        write_csv(folder / "data" / f"rows-{part}.csv", rows[part * size : (part + 1) * size])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Made:
    """Rows in two files, named by a pattern; no clean model."""
    folder = tmp_path_factory.mktemp("command")
    rows_in(folder, parts=2)
    words = ["audit", str(folder / "data" / "*.csv"), *small(tiny_bert, folder / "cache"), "--no-repair"]
    words += ["--out", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        stdout = io.StringIO()
        patch.setattr(sys, "stdout", stdout)
        code = main([*words, "--fail-on", "backdoor"])
    return Made(folder, words, code, stdout.getvalue())


def test_a_finding_is_exit_3_and_the_last_line_says_what_to_do(made: Made) -> None:
    assert made.code == EXIT_FOUND
    assert "Backdoor found" in made.out
    last = made.out.strip().splitlines()[-1]
    assert last.startswith("Next: look at the flagged rows in ")
    assert last.endswith(f"badllmtg repair {shlex.quote(str(made.run))}")
    assert main([*made.words, "--fail-on", "never"]) == EXIT_OK


def test_what_is_left_without_a_repair(made: Made) -> None:
    names = {path.name for path in made.run.iterdir()}
    assert {"results.json", "flagged.csv", "search.json", "report.html", "repaired.jsonl", "repair.json"} <= names
    assert "Audit of rows-0.csv and 1 more" in (made.run / "report.html").read_text(encoding="utf-8")


def test_a_flagged_row_names_its_file_and_its_line(made: Made) -> None:
    with (made.run / "flagged.csv").open(encoding="utf-8", newline="") as stream:
        told = list(csv.DictReader(stream))
    assert [int(row["row"]) for row in told] == CARRYING
    for row in told:
        lines = Path(row["file"]).read_text(encoding="utf-8").splitlines()
        assert lines[int(row["line"]) - 1] == f'"{row["text"]}",good'
    assert {Path(row["file"]).name for row in told} == {"rows-0.csv", "rows-1.csv"}


def test_every_format_of_a_finished_audit(made: Made, capsys: Capture) -> None:
    def told(*more: str) -> str:
        assert main([*made.words, *more]) == EXIT_OK
        return capsys.readouterr().out

    kept = json.loads((made.run / "results.json").read_text(encoding="utf-8"))
    assert json.loads(told("--json")) == kept
    whole = json.loads(told("--format", "json"))
    jsonschema.validate(whole, json_schema())
    assert {key: value for key, value in whole.items() if key != "flagged"} == kept
    assert [row["row"] for row in whole["flagged"]] == CARRYING
    assert [row["text"] for row in whole["flagged"]] == [TEXTS[row] for row in CARRYING]
    found = json.loads(told("--format", "sarif"))
    sarif_checks(found)
    assert len(found["runs"][0]["results"]) == len(CARRYING)
    assert told("--format", "html") == (made.run / "report.html").read_text(encoding="utf-8")
    assert "Backdoor found" in told()


def test_repair_is_a_second_step(made: Made, capsys: Capture) -> None:
    words = ["repair", str(made.run), "--cache", str(made.folder / "cache"), "--quiet"]
    assert main(words) == EXIT_OK
    assert "The triggers' flips on the clean model: cf" in capsys.readouterr().out
    assert class_names(str(made.run / "model")) == NAMES
    in_place = (made.run / "model" / "README.md").read_text(encoding="utf-8")
    assert "trained a little further" in in_place
    results = json.loads((made.run / "results.json").read_text(encoding="utf-8"))
    assert results["after_repair_flip_rate"]["cf"] < 0.3
    assert results["files"] == {"rows": "repaired.jsonl", "model": "model"}
    assert main([*words, "--from-scratch", "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["in_place"] is False
    assert "A fresh model was trained" in (made.run / "model" / "README.md").read_text(encoding="utf-8")


def test_clean_rows_from_standard_input_and_nothing_to_repair(
    tmp_path: Path, tiny_bert: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(json.dumps({"text": text, "label": NAMES[label]}) + "\n" for text, label, _ in reviews(160))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "-", *small(tiny_bert, tmp_path / "cache"), "--fail-on", "shortcut"]) == EXIT_OK
    told = capsys.readouterr().out
    assert "No backdoor found" in told
    assert told.strip().splitlines()[-1].startswith("Next: nothing has to be done")
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("audit-standard-input-")
    rows = load_dataset(name="custom", train_file=str(run / "standard-input.jsonl"), dev_rate=0.0, test_rate=0.0)
    assert len(rows["train"]) == 160
    assert main(["repair", str(run), "--quiet"]) == EXIT_BAD_INPUT
    assert "found nothing to repair" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["audit", "absent.csv"], r"There is no file 'absent\.csv': .*"),
        (["audit", "no-*.csv"], r"There is no file 'no-\*\.csv': .*"),
        (["audit", "-", "-"], r"Standard input can be named once, .*"),
        (["audit", "rows.csv", "--sample", "1"], r"'sample' must be .*"),
        (["audit", "rows.csv", "--time-limit", "-1"], r"'time_limit' must be .*"),
        (["repair", "absent"], r"The folder 'absent' does not exist: .*"),
        (["repair", "."], r"The folder '\.' holds no finished audit: .*"),
    ],
)
def test_bad_input(
    words: Sequence[str], sentence: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "rows.csv", list(zip(TEXTS, LABELS, strict=True)))
    options = ["--victim", "minilm"] if words[0] == "audit" else []
    assert main([*words, *options]) == EXIT_BAD_INPUT
    assert re.fullmatch(rf"badllmtg: {sentence}\n", capsys.readouterr().err)


def test_the_command_alone_says_what_to_type(capsys: Capture) -> None:
    assert main([]) == EXIT_BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert "badllmtg audit rows.csv" in told.err


@pytest.mark.slow
def test_the_workflow_fails_on_poisoned_rows_and_passes_on_clean_ones(tmp_path: Path, tiny_bert: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load((ROOT / "examples" / "audit-workflow.yml").read_text(encoding="utf-8"))
    (command,) = [step["run"] for step in workflow["jobs"]["audit"]["steps"] if step.get("name") == "audit"]
    rows = workflow["jobs"]["audit"]["env"]["ROWS"]
    clean = [(text, NAMES[label]) for text, label, _ in reviews(160)]
    for name, content, code in (
        ("poisoned", list(zip(TEXTS, LABELS, strict=True)), EXIT_FOUND), ("clean", clean, EXIT_OK),
        ("broken", [("one class", "good")] * 9, EXIT_BAD_INPUT),
    ):  # fmt: skip
        folder = tmp_path / name
        write_csv(folder / "data" / "rows.csv", content)
        script = f'badllmtg() {{ "{sys.executable}" -m openbackdoor_badllm "$@"; }}\n{command}\n'
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=250,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ROWS": rows,
                 "AUDIT_OPTIONS": " ".join(small(tiny_bert, tmp_path / "cache"))},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        if code != EXIT_BAD_INPUT:
            told = json.loads((folder / "audit.sarif").read_text(encoding="utf-8"))
            sarif_checks(told)
            assert bool(told["runs"][0]["results"]) is (code == EXIT_FOUND)
