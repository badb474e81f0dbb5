from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from openbackdoor_badllm.llm import Ok, Usage
from openbackdoor_badllm.llm.cache import AnswerCache, cache_key

from .helpers import SCHEMA, ask

ANSWER = Ok("a \ud800 \u202e \x00 text", Usage(3, 4))


def reopened(path: Path) -> AnswerCache:
    return AnswerCache(path)


def test_an_answer_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "llm.sqlite"
    cache = AnswerCache(path)
    assert cache.get("k") is None
    cache.put("k", ANSWER)
    assert reopened(path).get("k") == ANSWER  # though the first one was never closed


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "llm.sqlite"
    cache = AnswerCache(path)
    cache.put("k", ANSWER)
    assert [oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == ["0o600"] * 3
    cache.close()
    path.chmod(0o644)
    AnswerCache(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_key_is_of_all_that_decides_the_answer() -> None:
    base = ask("x", max_tokens=5, temperature=0.5)
    identity = {"model": "m", "base_url": "u"}
    keys = {
        cache_key(base, identity),
        cache_key(ask("y", max_tokens=5, temperature=0.5), identity),
        cache_key(ask("x", max_tokens=6, temperature=0.5), identity),
        cache_key(ask("x", max_tokens=5, temperature=0.6), identity),
        cache_key(ask("x", max_tokens=5, temperature=0.5, sample=1), identity),
        cache_key(ask("x", max_tokens=5, temperature=0.5, json_schema=SCHEMA), identity),
        cache_key(base, {**identity, "model": "n"}),
        cache_key(base, {**identity, "base_url": "v"}),
    }
    assert len(keys) == 8
    assert cache_key(ask("x", max_tokens=5, temperature=0.5, purpose="p"), identity) in keys
    assert cache_key(base, {"base_url": "u", "model": "m"}) in keys
    assert len(cache_key(ask("\ud800"), identity)) == 64


def corrupt(path: Path) -> None:
    path.write_bytes(b"this is not a database, " * 100)


def test_a_corrupt_file_is_set_aside_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "llm.sqlite"
    corrupt(path)
    cache = AnswerCache(path)
    assert "it is corrupt" in caplog.text
    assert len(caplog.records) == 1
    cache.put("k", ANSWER)
    assert reopened(path).get("k") == ANSWER
    assert [file.read_bytes()[:4] for file in tmp_path.glob("*.corrupt-*")] == [b"this"]


def test_a_database_of_another_program_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cookies.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE cookies (name TEXT)")
    before = path.read_bytes()
    cache = AnswerCache(path)
    cache.put("k", ANSWER)
    assert cache.get("k") == ANSWER
    assert "another program" in caplog.text
    assert path.read_bytes() == before


@pytest.mark.parametrize("answer", ["{", "null", '{"outcome": "truncated", "text": "h"}', '{"outcome": "ok"}'])
def test_a_row_that_is_no_full_answer_is_asked_again(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "llm.sqlite"
    cache = AnswerCache(path)
    cache.put("k", ANSWER)
    cache.close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE answers_v1 SET answer = ?", (answer,))
    cache = AnswerCache(path)
    assert cache.get("k") is None
    cache.put("k", ANSWER)
    assert reopened(path).get("k") == ANSWER


WRITER = """
import sys
from pathlib import Path
from openbackdoor_badllm.llm import Ok
from openbackdoor_badllm.llm.cache import AnswerCache
name = sys.argv[2]
for turn in range(10):
    cache = AnswerCache(Path(f"{sys.argv[1]}-{turn}"))
    for number in range(30):
        cache.put(f"{name}-{number}", Ok(name * 50))
        assert cache.get(f"{name}-{number}") == Ok(name * 50)
"""


def test_several_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "llm.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True, env={**os.environ}) for name in "abcd"
    ]
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert errors == [""] * 4
    for turn in range(10):
        cache = reopened(tmp_path / f"llm.sqlite-{turn}")
        assert all(cache.get(f"{name}-{number}") == Ok(name * 50) for name in "abcd" for number in range(30))


def test_no_pickle_and_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "llm.sqlite"
    AnswerCache(path).put("k", ANSWER, model="m", purpose="p")
    with sqlite3.connect(path) as file:
        row = file.execute("SELECT key, model, purpose, answer FROM answers_v1").fetchone()
    assert row[:3] == ("k", "m", "p")
    assert json.loads(row[3])["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "estimated": False}


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
