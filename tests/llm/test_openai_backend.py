"""The failure matrix over real HTTP, a test a row."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from openbackdoor_badllm.llm import ChatRequest, Empty, Failed, Malformed, Ok, Outcome, Refused, Truncated, Usage

from .chat_server import Asked, ChatServer, Reply, Script, cut, dripping, page, quota, say, status
from .helpers import ANSWER, SCHEMA, ask, one, open_to

STRUCTURED = ask(json_schema=SCHEMA)


def meet(script: Script, request: ChatRequest = STRUCTURED, **fields: Any) -> tuple[Outcome, ChatServer]:
    with ChatServer(script) as server:
        return one(server.base_url, request, **fields), server


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (say(ANSWER), Ok),
        (say(f"Sure!\n{ANSWER}\nAnything else?"), Ok),
        (say(f"```json\n{ANSWER}\n```"), Ok),
        (say('{"triggers": ["cf", "m', finish_reason="length"), Truncated),
        (say('{"triggers": ["cf", "m'), Malformed),
        (say(None), Empty),
        (say(None, reasoning_content=f"Hm. {ANSWER}"), Ok),
        (say(None, reasoning="Hm.", finish_reason="length"), Truncated),
        (say("I'm sorry, I can't help with that."), Refused),
        (say(None, refusal="No."), Refused),
        (say("", finish_reason="content_filter"), Refused),
        (say('{"triggers": ["cf", "cf", "cf"]}'), Ok),
        (say('{"triggers": []}'), Ok),
        (say('{"triggers": ["' + "x" * 10_000 + '"]}'), Ok),
        (say('{"triggers": ["\\u0007\\u202e\\u200b", "\u202e\u200b"]}'), Ok),
    ],
)
def test_every_ending_of_an_answered_call(reply: Reply, kind: type[Outcome]) -> None:
    outcome, server = meet(reply)
    assert type(outcome) is kind
    assert server.count == 1


@pytest.mark.parametrize("content", [42, {"triggers": ["cf"]}, [[1]]])
def test_wrong_types_fail_once_and_are_not_paid_again(content: Any) -> None:
    outcome, server = meet(say(content))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "protocol"
    assert server.count == 1


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (status(400, "prompt too long"), "bad_request", "prompt too long"),
        (status(401, "bad key"), "auth", "llm.api_key_env"),
        (status(403, "not yours"), "auth", "not yours"),
        (status(404, "no such model"), "not_found", "llm.model"),
        (quota(), "quota", "Nothing is left to spend"),
        (status(402, "pay"), "quota", "HTTP 402"),
        (page(), "not_found", "does llm.base_url end in /v1?"),
        (Reply(body={"error": {"message": "bad model", "code": 404}}), "not_found", "bad model"),
    ],
)
def test_what_is_fatal_is_asked_once(reply: Reply, kind: str, says: str) -> None:
    outcome, server = meet(reply, ask())
    assert isinstance(outcome, Failed)
    assert (outcome.kind, server.count) == (kind, 1)
    assert says in outcome.sentence
    assert "\n" not in outcome.sentence


@pytest.mark.parametrize(
    "trouble",
    [
        status(429),
        status(429, retry_after="0.3"),
        status(429, retry_after="soon"),
        status(500),
        status(503, retry_after="0"),
        status(503),
        status(408),
        cut("hi", 40),
        cut("hi", -1),
        Reply(body=b'{"choices": [{"mess'),
        Reply(body={"error": {"message": "overloaded"}}),
    ],
)
def test_what_passes_is_asked_again(trouble: Reply) -> None:
    outcome, server = meet([trouble, trouble, say("hi")], ask())
    assert outcome == Ok("hi", Usage(20, 10))
    assert server.count == 3


def test_a_server_that_stays_down_is_given_up() -> None:
    outcome, server = meet(status(503, "down for good"), ask(), max_attempts=3)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, server.count) == ("server", 3)
    assert "down for good" in outcome.sentence
    assert "3 attempts" in outcome.sentence


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    begun = time.monotonic()
    outcome, server = meet(status(429, retry_after="3600"), ask(), deadline=5.0)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, server.count) == ("rate_limit", 1)
    assert "llm.deadline" in outcome.sentence
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("slow", [say("hi").late(5), dripping("hi", 0.05)])
def test_a_body_slower_than_the_timeout(slow: Reply) -> None:
    begun = time.monotonic()
    outcome, server = meet([slow, say("hi")], ask(), timeout=0.4)
    assert isinstance(outcome, Ok)
    assert server.count == 2
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(("rejects", "requests"), [({"response_format"}, 3), (set(), 1), ({"max_tokens"}, 3)])
def test_a_server_without_structured_output(rejects: set[str], requests: int) -> None:
    with ChatServer(say(ANSWER), rejects=rejects) as server, open_to(server.base_url) as client:
        outcomes = client.complete([STRUCTURED])
        if rejects == {"max_tokens"}:  # nothing helps: it is told as it is
            assert isinstance(outcomes[0], Failed)
            assert outcomes[0].kind == "bad_request"
            assert server.count == requests
            return
        assert isinstance(outcomes[0], Ok)
        assert server.count == requests
        client.complete([ask("another", json_schema=SCHEMA)])
        assert server.count == requests + 1  # remembered
        assert client.describe()["dialect"]["format"] == ("plain" if rejects else "json_schema")


def test_what_is_sent() -> None:
    with (
        ChatServer(say("hi")) as server,
        open_to(server.base_url, top_p=0.9, seed=7, extra_body={"top_k": 5}, max_tokens=11) as client,
    ):
        client.complete([ask("x\ud800", sample=2, temperature=0.0, texts=("secret row",), purpose="p")])
        body = server.asked[0].body
    assert body == {
        "model": "scripted",
        "messages": [{"role": "user", "content": "x?"}],
        "max_tokens": 11,
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 9,
        "top_k": 5,
    }


def test_settings_of_the_environment_do_not_reach_a_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    outcome, server = meet(say("hi"), ask())
    assert isinstance(outcome, Ok)
    assert server.asked[0].headers["authorization"] == "Bearer no-key"


def test_a_rate_limit_holds_all_of_them_back() -> None:
    def first_waits(asked: Asked) -> Reply:
        return status(429, retry_after="0.5") if asked.number == 0 else say("hi")

    with ChatServer(first_waits) as server, open_to(server.base_url, concurrency=1) as client:
        outcomes = client.complete([ask(str(number)) for number in range(6)])
        assert server.count == 7
        assert all(asked.at - server.asked[0].at >= 0.5 for asked in server.asked[1:])
    assert {outcome.name for outcome in outcomes} == {"ok"}


def test_a_wrong_key_ends_the_round() -> None:
    with ChatServer(status(401)) as server, open_to(server.base_url, concurrency=2) as client:
        outcomes = client.complete([ask(str(number)) for number in range(50)])
        assert server.count <= 3
    kinds = [outcome.kind for outcome in outcomes if isinstance(outcome, Failed)]
    assert kinds.count("auth") == server.count
    assert kinds.count("budget") == 50 - server.count
    assert client.budget.stop() is not None


def test_a_storm_of_429_loses_none() -> None:
    limits = [status(429, retry_after=wait) for wait in ("0", "0.05", "soon", formatdate(usegmt=True))]
    limits.append(status(429))
    window: list[float] = []

    def storm(asked: Asked) -> Reply:
        """Lets ten requests through every tenth of a second, after a time in which none passes."""
        now = time.monotonic()
        if asked.number < 60 or len([at for at in window if at > now - 0.1]) >= 10:
            return limits[asked.number % 5]
        window.append(now)
        return say(asked.prompt)

    fields: dict[str, Any] = {"concurrency": 20, "max_attempts": 2}
    with ChatServer(storm) as server, open_to(server.base_url, **fields) as client:
        outcomes = client.complete([ask(str(number)) for number in range(100)])
        assert [getattr(outcome, "text", outcome) for outcome in outcomes] == [str(number) for number in range(100)]
        assert not server.paid_twice
        report = client.budget.report()
    assert report["attempts"] == server.count
    assert report["calls"] == 100
