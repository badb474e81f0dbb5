"""A whole run with a language model, from the command line: estimate, run, second run, ``show``, secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import ChatServer, say
from llm_world import honest
from tiny_world import SEARCH, config, write_config, write_reviews

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_OK

KEY = "sk-sentinel-0123456789abcdefghijklmnop"
ASKED = {**SEARCH, "strategy": "paper"}  # a model alone: statistics would find the trigger without it
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    data = write_reviews(tmp_path_factory.mktemp("llm-reviews"))
    return config(data, tiny_bert)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llm-cache")


def arguments(world: dict[str, Any], base_url: str, folder: Path, cache: Path, *more: str, **llm: Any) -> list[str]:
    section = {"backend": "openai", "model": "scripted", "base_url": base_url, "retry_wait": 0.01, **llm}
    content = {**world, "defender": {**world["defender"], "llm": section, "search": ASKED}}
    file = write_config(folder / "config.json", content)
    out = ["--out", str(folder / "out"), "--cache", str(cache), "--no-references"]
    return ["defend", "--config", str(file), *out, *more]


@pytest.mark.slow
def test_a_run_its_repetition_and_its_story(
    world: dict[str, Any], cache: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_KEY", KEY)
    with ChatServer(honest, key=KEY) as server:
        first = arguments(world, server.base_url, tmp_path / "a", cache, api_key_env="SENTINEL_KEY")
        assert main(first) == EXIT_OK
        said = capsys.readouterr()
        calls = server.count
        assert 0 < calls <= 15
        assert "LLM budget: at most" in said.err
        assert "Language model scripted: asked" in said.out
        second = arguments(world, server.base_url, tmp_path / "b", cache, "--quiet", api_key_env="SENTINEL_KEY")
        assert main(second) == EXIT_OK
        assert server.count == calls
    capsys.readouterr()
    results = [json.loads((tmp_path / run / "out" / "results.json").read_text("utf-8")) for run in "ab"]
    assert [trigger["text"] for trigger in results[0]["report"]["triggers"]] == ["cf"]
    assert results[0]["report"]["triggers"] == results[1]["report"]["triggers"]
    assert results[1]["report"]["llm"]["usage"]["calls"] == 0
    assert results[1]["report"]["llm"]["usage"]["cache_hits"] == calls

    folder = str(tmp_path / "a" / "out")
    assert main(["show", folder]) == EXIT_OK
    text = capsys.readouterr().out
    assert "iteration 1: ok" in text
    assert "cf" in text
    assert main(["show", folder, "--markdown"]) == EXIT_OK
    markdown = capsys.readouterr().out
    assert "All texts below have the same label" in markdown
    assert "| `cf` | word |" in markdown
    assert "The victim's logits with" in markdown
    assert main(["show", folder, "--json"]) == EXIT_OK
    told = json.loads(capsys.readouterr().out)
    assert told["rounds"][0]["answer"].startswith('{"candidates"')
    assert told["rounds"][0]["proposals"][0]["flip_rate"] > 0.8

    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    assert main(["report", folder]) == EXIT_OK  # writes its page among the files that the sentinel must not be in
    page = (tmp_path / "a" / "out" / "report.html").read_text("utf-8")
    assert "What was asked" in page
    assert "All texts below have the same label" in page
    assert "Confidence of the victim" in page

    for path in [*tmp_path.rglob("*"), *cache.rglob("*")]:
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in said.out + said.err + text + markdown


def test_a_dry_run_sends_nothing_and_trains_nothing(
    world: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    with ChatServer(say("no")) as server:
        line = arguments(
            world, server.base_url, tmp_path, tmp_path / "cache", "--dry-run", price_prompt=1.0, price_completion=2.0,
            api_key_env="NOT_SET_ANYWHERE",
        )
        assert main(line) == EXIT_OK
        assert server.count == 0
    said = capsys.readouterr().out
    assert said.startswith("LLM budget: at most ")
    assert "in money" in said
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()
    assert main([*line, "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["calls"] <= 60


def test_a_literal_key_is_refused_before_anything_is_written(
    world: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    line = arguments(world, "http://127.0.0.1:9/v1", tmp_path, tmp_path / "cache", api_key=KEY)
    assert main(line) == EXIT_BAD_INPUT
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    assert "api_key_env" in said.err
    assert not (tmp_path / "out").exists()
