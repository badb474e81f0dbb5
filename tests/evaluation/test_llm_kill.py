"""kill -9 at random moments of a whole run with a language model: the same end, and nothing answered is paid twice.

``BADLLMTG_KILLS=20`` kills as often as the acceptance asks for; a few times are enough for every day.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import Asked, ChatServer, Reply
from llm_world import honest
from tiny_world import SEARCH, config, figures_of, write_config, write_reviews

KILLS = int(os.environ.get("BADLLMTG_KILLS", "2"))
LIMBO = 0.1  # seconds between the server's last byte and the client's cache, on a busy machine
ROOT = Path(__file__).parents[2]
ASKED = {**SEARCH, "strategy": "paper"}  # a model alone: statistics would find the trigger without it
pytestmark = pytest.mark.slow


def slow_reader(asked: Asked) -> Reply:
    return honest(asked).late(0.3)


def begin(world: dict[str, Any], base_url: str, folder: Path) -> subprocess.Popen[bytes]:
    llm = {"backend": "openai", "model": "scripted", "base_url": base_url, "retry_wait": 0.01}
    made = {**world, "defender": {**world["defender"], "llm": llm, "repair": "relabel", "search": ASKED}}
    file = write_config(folder / "config.json", made)
    command = [sys.executable, "-m", "openbackdoor_badllm", "defend", "--config", str(file), "--quiet", "--json"]
    command += ["--out", str(folder / "out"), "--cache", str(folder / "cache"), "--no-references"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on how often the run was cut off."""
    results = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    lines = [figures_of(line) for line in results["lines"]]
    report = {key: value for key, value in results["report"].items() if key not in ("seconds", "llm")}
    return {"lines": lines, "report": report, "asked": results["report"]["llm"]["usage"]["asked"]}


def finish(process: subprocess.Popen[bytes]) -> None:
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint.decode()


def test_kill_9_at_random_moments_of_a_run(tmp_path: Path, tiny_bert: Path) -> None:
    world = config(write_reviews(tmp_path / "reviews"), tiny_bert)
    with ChatServer(slow_reader) as server:
        begun = time.monotonic()
        finish(begin(world, server.base_url, tmp_path / "whole"))
        length = time.monotonic() - begun
        whole, calls = outcome(tmp_path / "whole"), server.count
    assert whole["report"]["backdoor"]
    assert calls == whole["asked"]

    rng = random.Random(5)
    kills: list[float] = []
    with ChatServer(slow_reader) as server:
        for number in range(KILLS):
            before = server.count
            process = begin(world, server.base_url, tmp_path / "cut")
            if number % 2 and before < calls:  # in the middle of the dialogue
                while server.count == before and process.poll() is None:
                    time.sleep(0.005)
                time.sleep(rng.uniform(0, 0.6))
            else:  # at any moment, imports and trainings included
                time.sleep(rng.uniform(0, length))
            process.send_signal(signal.SIGKILL)
            kills.append(time.monotonic())
            process.communicate()
        finish(begin(world, server.base_url, tmp_path / "cut"))
        first = {one.asked.digest: one.at for one in reversed(server.answers)}
        twice = [one for one in server.answers if first[one.asked.digest] != one.at]
        # What the server had sent, and the process not yet kept when it was killed, nobody can know of.
        assert all(min(abs(kill - first[one.asked.digest]) for kill in kills) < LIMBO for one in twice)
        assert len(first) == calls
        before = server.count
        finish(begin(world, server.base_url, tmp_path / "cut"))  # finished: nothing is run
        assert server.count == before
    assert outcome(tmp_path / "cut") == whole
