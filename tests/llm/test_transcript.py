from __future__ import annotations

import json
from pathlib import Path

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
