"""A sentinel key goes through every kind of ending, and is looked for in all that remains."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from openbackdoor_badllm.llm import LLMConfig, open_backend

from .chat_server import Asked, ChatServer, Reply, quota, say, status
from .helpers import SCHEMA, ask, config

SENTINEL = "SENTINELkey/0123456789+abcdef=="


def told(asked: Asked) -> str:
    return f"you sent {asked.headers['authorization']}"


ENDINGS: dict[str, Callable[[Asked], Reply]] = {
    "ok": lambda asked: say("fine"), "said back": lambda asked: say(told(asked)),
    "said back in JSON": lambda asked: say(f'{{"triggers": ["{told(asked)}"]}}'),
    "thought aloud": lambda asked: say("fine", reasoning_content=told(asked)),
    "refusal": lambda asked: say(None, refusal=told(asked)),
    "truncated": lambda asked: say(told(asked), finish_reason="length"),
    "in a header": lambda asked: say("fine", headers={"X-Debug": asked.headers["authorization"]}),
    "400": lambda asked: status(400, told(asked)), "401": lambda asked: status(401, told(asked)),
    "403": lambda asked: status(403, told(asked)), "404": lambda asked: status(404, told(asked)),
    "429": lambda asked: status(429, told(asked)), "quota": lambda asked: quota(),
    "500": lambda asked: status(500, told(asked)),
    "web page": lambda asked: Reply(status=502, body=f"<html>{told(asked)}".encode()),
    "error in a 200": lambda asked: Reply(body={"error": {"message": told(asked), "code": 401}}),
    "broken": lambda asked: Reply(body=f'{{"x": "{told(asked)}'.encode()),
    "wrong type": lambda asked: say({"k": told(asked)}),
    "cut": lambda asked: Reply(body=told(asked).encode(), cut_after=60), "late": lambda asked: say("fine").late(3),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_key_is_nowhere(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", SENTINEL)
    caplog.set_level(logging.DEBUG)
    remains: list[object] = []
    with ChatServer(ENDINGS[ending]) as server:
        block = config(server.base_url, api_key_env="MY_KEY", max_attempts=2, timeout=0.5, deadline=2.0)
        client = open_backend(block, cache_dir=tmp_path, transcript_path=tmp_path / "t.jsonl")
        requests = [ask("plain"), ask("json", json_schema=SCHEMA), ask(f"my key is {SENTINEL}")]
        remains.append(client.complete(requests))
        remains += [client.describe(), client.budget.report(), client.budget.stop(), block, vars(client), client]
        client.close()
        assert server.asked[0].headers["authorization"] == f"Bearer {SENTINEL}"
    assert {file.name for file in tmp_path.iterdir()} >= {"llm.sqlite", "t.jsonl"}
    for file in tmp_path.iterdir():
        assert SENTINEL.encode() not in file.read_bytes(), file
        assert b"SENTINELkey" not in file.read_bytes(), file
    assert "SENTINELkey" not in repr(remains)
    assert "SENTINELkey" not in caplog.text
    assert "plain" in (tmp_path / "t.jsonl").read_text()


def test_a_password_in_the_address_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ChatServer(say("fine")) as server:
        address = server.base_url.replace("http://", f"http://user:{SENTINEL.replace('/', '%2F')}@")
        block = LLMConfig(backend="openai", model="m", base_url=address)
        with open_backend(block, cache_dir=tmp_path, transcript_path=tmp_path / "t.jsonl") as client:
            client.complete([ask()])
            assert "SENTINEL" not in repr([client.describe(), block])
        assert "SENTINEL" not in repr(server.asked)
    assert all(b"SENTINEL" not in file.read_bytes() for file in tmp_path.iterdir())
    assert "SENTINEL" not in caplog.text
    assert "was cut" in caplog.text
