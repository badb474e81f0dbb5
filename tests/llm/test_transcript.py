from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from openbackdoor_badllm.llm.provider import Answer, Retry
from openbackdoor_badllm.llm.redact import Redactor
from openbackdoor_badllm.llm.transcript import Transcript
from openbackdoor_badllm.llm.types import Ok, Usage

from .helpers import ask

SECRET = "SENTINEL-0123456789"
ANSWER = Answer(Ok("an\u202eswer", Usage(1, 2)), 0.5, 2, (Retry("server", f"said {SECRET}", 0.1),), "hm")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_line_says_all_and_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.jsonl"
    transcript = Transcript(path, Redactor([SECRET]), "m")
    transcript.note(ask(f"my key is {SECRET}", purpose="p"), "key", ANSWER, cache_hit=False)
    line = lines(path)[0]  # not closed
    assert line["request"]["messages"] == [{"role": "user", "content": "my key is [redacted]"}]  # type: ignore[index]
    assert line["answer"]["text"] == "an\u202eswer"  # type: ignore[index]
    assert (line["model"], line["purpose"], line["attempts"], line["cache_hit"]) == ("m", "p", 2, False)
    assert (line["latency"], line["reasoning"], line["key"]) == (0.5, "hm", "key")
    assert SECRET not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_goes_on_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"whole": 1}\n{"half')
    Transcript(path, Redactor()).note(ask(), "k", ANSWER, cache_hit=True)
    rows = path.read_text().splitlines()
    assert rows[1] == '{"half'
    assert json.loads(rows[2])["cache_hit"] is True


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_said_once_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    transcript = Transcript(Path("/dev/full"), Redactor())
    for _ in range(3):
        transcript.note(ask(), "k", ANSWER, cache_hit=False)
    transcript.close()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_a_place_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    Transcript(tmp_path / "file" / "t.jsonl", Redactor()).note(ask(), "k", ANSWER, cache_hit=False)
    assert "cannot be written" in caplog.text


def test_without_a_path_nothing_is_written() -> None:
    transcript = Transcript(None, Redactor())
    transcript.note(ask(), "k", ANSWER, cache_hit=False)
    transcript.close()
    transcript.close()
