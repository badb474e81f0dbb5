"""kill -9 and Ctrl-C in the middle of a run: nothing that was answered is lost or paid twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .chat_server import Asked, ChatServer, Reply, say

pytestmark = pytest.mark.slow
CALLS = 400
KILLS = 20
LIMBO = 0.1
"""Seconds between the server's last byte and the client's cache, on a busy machine."""
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
SENTINEL = "SENTINEL-key-0123456789"


@contextmanager
def worker(server: ChatServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "MY_KEY": SENTINEL, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, str(Path(__file__).with_name("crash_worker.py")), server.base_url, str(folder), str(CALLS),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def tell(process: subprocess.Popen[str]) -> int:
    """Starts one more child and returns its process id."""
    assert process.stdin is not None
    process.stdin.write("run\n")
    process.stdin.flush()
    return hear(process)


def hear(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return int(line)


def stored(folder: Path) -> set[str]:
    """The questions whose answers are in the cache (the server answers with the question)."""
    if not (folder / "llm.sqlite").exists():
        return set()
    with sqlite3.connect(folder / "llm.sqlite") as file:
        try:
            rows = file.execute("SELECT answer FROM answers_v1").fetchall()
        except sqlite3.OperationalError:  # killed before the table was made
            return set()
    return {json.loads(row[0])["text"] for row in rows}


def echo(asked: Asked) -> Reply:
    return say(asked.prompt).late(0.03)


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    generator = random.Random(7)
    known: set[str] = set()
    asked_again: list[str] = []
    kills: list[float] = []
    with ChatServer(echo, key=SENTINEL) as server, worker(server, tmp_path) as process:
        for _ in range(KILLS):
            before = server.count
            child = tell(process)
            if generator.random() < 0.8:  # most in mid-round, some while it opens its files
                while server.count == before:
                    time.sleep(0.001)
            time.sleep(generator.uniform(0, 0.3))
            os.kill(child, signal.SIGKILL)
            kills.append(time.monotonic())
            assert hear(process) == -signal.SIGKILL
            asked_again += [one.prompt for one in server.asked[before:] if one.prompt in known]
            now = stored(tmp_path)
            assert known <= now
            known = now
        before = server.count
        tell(process)
        assert hear(process) == 0
        asked_again += [one.prompt for one in server.asked[before:] if one.prompt in known]
        lines = (tmp_path / "result.txt").read_text().splitlines()
        assert lines[:-1] == [f"question {number}" for number in range(CALLS)]
        assert not asked_again
        # What the server had sent, and the process not yet read when it was killed, nobody can know of.
        twice = server.paid_twice
        first = {one.asked.prompt: one.at for one in reversed(server.answers)}
        assert all(min(abs(kill - first[prompt]) for kill in kills) < LIMBO for prompt in twice)
        print(f"{len(kills)} kills, {len(known)} of {CALLS} answers stored by then, {len(twice)} lost on the way")

        (tmp_path / "result.txt").unlink()
        before = server.count
        tell(process)
        assert hear(process) == 0
        assert server.count == before
        assert (tmp_path / "result.txt").read_text().splitlines()[-1] == f"asked {CALLS}, calls 0"


def test_ctrl_c_in_mid_round(tmp_path: Path) -> None:
    with ChatServer(echo, key=SENTINEL) as server, worker(server, tmp_path) as process:
        child = tell(process)
        while server.count < 30:
            time.sleep(0.002)
        begun = time.monotonic()
        os.kill(child, signal.SIGINT)
        assert hear(process) != 0
        assert time.monotonic() - begun < 3
        known = stored(tmp_path)
        assert len(known) >= 25
        lines = (tmp_path / "t.jsonl").read_text().splitlines()
        assert len(known) - 4 <= len(lines) <= len(known)
        before = server.count
        tell(process)
        assert hear(process) == 0
        assert not [one.prompt for one in server.asked[before:] if one.prompt in known]
        process.kill()
        _, errors = process.communicate()
    assert "KeyboardInterrupt" in errors
    for noise in ("was destroyed", "never retrieved", "Exception ignored", SENTINEL):
        assert noise not in errors


@pytest.fixture(autouse=True)
def _forks() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
