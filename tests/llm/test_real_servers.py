"""Inference servers that nobody here wrote answer the client: ``transformers serve`` and llama.cpp's.

The first runs with random weights, so the answers are nonsense; the protocol is what is tested. It needs
packages that the project does not: name an interpreter that has them, as in

    python -m venv serve && serve/bin/pip install torch "transformers[serving]"
    BADLLMTG_SERVE_PYTHON=serve/bin/python pytest tests/llm/test_real_servers.py

Without it the present interpreter is tried, and what is missing is skipped. The second runs with a small live model:
``BADLLMTG_LLAMA`` names a folder with one ``*.gguf`` and a ``venv`` that has the package xllamacpp. Some minutes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_world import SEARCH, config, write_config, write_reviews

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_OK
from openbackdoor_badllm.llm import Failed, Truncated

from .helpers import SCHEMA, ask, one, open_to
from .tiny_model import make_model

PYTHON = os.environ.get("BADLLMTG_SERVE_PYTHON", sys.executable)
LLAMA = os.environ.get("BADLLMTG_LLAMA", "")
LLAMA_SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), 8192
params.n_parallel, params.hostnames, params.use_jinja = 1, ["127.0.0.1"], True
server = xllamacpp.Server(params)
while True:
    time.sleep(60)
"""
START_SECONDS = 120.0
pytestmark = pytest.mark.slow


def needs(*modules: str) -> None:
    """Skips the test where the serving interpreter lacks a module."""
    code = "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
    if subprocess.run([PYTHON, "-c", code, *modules], check=False).returncode:
        pytest.skip(f"{PYTHON} lacks one of {', '.join(modules)} (see BADLLMTG_SERVE_PYTHON)")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path) -> Iterator[str]:
    """Runs a server until the block ends; gives its base_url once it is healthy."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


def transformers_serve(model: Path, port: int) -> list[str]:
    command = [PYTHON, "-m", "transformers.cli.transformers", "serve", str(model)]
    return [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]


def test_transformers_serve(tmp_path: Path) -> None:
    needs("transformers", "torch", "fastapi", "uvicorn")
    model, port = make_model(tmp_path / "model"), free_port()
    with serving(transformers_serve(model, port), port, tmp_path / "log") as base_url:
        fields = {"model": str(model), "timeout": 60.0, "deadline": 120.0, "max_tokens": 16, "concurrency": 2}
        with open_to(base_url, tmp_path, **fields) as client:
            outcomes = client.complete([*(ask(f"hello {number}") for number in range(4)), ask("x", json_schema=SCHEMA)])
            report = client.budget.report()
        assert not [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        assert report["calls"] == report["attempts"] == 5
        assert report["prompt_tokens"] > 5 * 20
        assert not report["tokens_estimated"]
        assert any(isinstance(outcome, Truncated) for outcome in outcomes)
        wrong = one(base_url, ask(), **{**fields, "model": "another"})
        assert isinstance(wrong, Failed)
        assert wrong.fatal or wrong.kind == "bad_request"


def test_a_whole_run(tmp_path: Path, tiny_bert: Path) -> None:
    """What random weights propose is no trigger, so nothing may be found; but it is asked, answered and counted."""
    needs("transformers", "torch", "fastapi", "uvicorn")
    model, port = make_model(tmp_path / "model", context=16_384), free_port()
    made = config(write_reviews(tmp_path / "reviews"), tiny_bert)
    with serving(transformers_serve(model, port), port, tmp_path / "log") as base_url:
        llm = {"backend": "openai", "model": str(model), "base_url": base_url, "max_calls": 3, "max_tokens": 200}
        made["defender"]["llm"] = llm
        file = write_config(tmp_path / "config.json", made)
        folders = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--no-references"]
        assert main(["defend", "--config", str(file), "--quiet", *folders]) == EXIT_OK
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    usage = results["report"]["llm"]["usage"]
    assert usage["asked"] == 3
    assert usage["completion_tokens"] > 0
    assert results["report"]["triggers"] == []
    assert (tmp_path / "out" / "transcript.jsonl").read_text(encoding="utf-8").count("\n") >= 3


def llama_cpp(port: int) -> list[str]:
    """The command that serves the small model; skips the test where none is set up."""
    folder = Path(LLAMA)
    models = sorted(folder.glob("*.gguf")) if LLAMA else []
    python = folder / "venv" / "bin" / "python"
    if not models or not python.is_file():
        pytest.skip("BADLLMTG_LLAMA names no folder with a *.gguf and a venv that has xllamacpp")
    return [str(python), "-c", LLAMA_SERVER, str(models[0]), str(port)]


@pytest.mark.timeout(3600)
def test_a_whole_run_with_a_small_live_model(tmp_path: Path, tiny_bert: Path) -> None:
    """What a weak model says is not known beforehand; the run must find what it finds without it, and count."""
    port = free_port()
    command = llama_cpp(port)
    made = config(write_reviews(tmp_path / "reviews"), tiny_bert)
    for section in ("target_dataset", "poison_dataset"):
        made[section]["label_names"] = ["negative", "positive"]

    def run(name: str, **defender: Any) -> dict[str, Any]:
        file = write_config(tmp_path / f"{name}.json", {**made, "defender": {**made["defender"], **defender}})
        folders = ["--out", str(tmp_path / name), "--cache", str(tmp_path / "cache"), "--no-references"]
        assert main(["defend", "--config", str(file), "--quiet", *folders]) == EXIT_OK
        report: dict[str, Any] = json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8"))["report"]
        return report

    alone = run("alone")
    with serving(command, port, tmp_path / "log") as base_url:
        llm = {"backend": "openai", "model": "small", "base_url": base_url, "concurrency": 1, "max_tokens": 400}
        slow = {"timeout": 900.0, "deadline": 1800.0, "max_calls": 10}
        beside = run("beside", llm={**llm, **slow}, search={**SEARCH, "label_rows": 10})
    usage = beside["llm"]["usage"]
    assert usage["outcomes"].get("ok", 0) > 0
    assert usage["failures"] == {}
    assert not usage["tokens_estimated"]
    assert usage["completion_tokens"] > 0
    assert beside["llm"]["label_check"]["used"] or beside["llm"]["label_check"]["note"]
    triggers = [[one["text"] for one in report["triggers"]] for report in (alone, beside)]
    assert triggers[0] == triggers[1][: len(triggers[0])]
