"""The failure matrix over real HTTP, a test a row."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from openbackdoor_badllm.llm import (
    ChatRequest,
    Empty,
    Failed,
    Filtered,
    Malformed,
    Ok,
    Outcome,
    Refused,
    Truncated,
    Usage,
)

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
        (say("", finish_reason="content_filter"), Filtered),
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
    assert (outcome.kind, server.count) == ("quota", 1)  # the next question would wait as long
    assert "llm.deadline" in outcome.sentence
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("slow", [say("hi").late(5), dripping("hi", 0.05)])
def test_a_body_slower_than_the_timeout(slow: Reply) -> None:
    begun = time.monotonic()
    outcome, server = meet([slow, say("hi")], ask(), timeout=0.4)
    assert isinstance(outcome, Ok)
    assert server.count == 2
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("rejects", "requests", "dialect"),
    [
        (set(), 1, {"format": "json_schema"}),
        ({"response_format"}, 3, {"format": "plain"}),
        ({"max_tokens"}, 2, {"token_field": "max_completion_tokens"}),
        ({"max_tokens", "max_completion_tokens"}, 3, {"token_field": None}),
        ({"temperature"}, 2, {"dropped": ("temperature",)}),
        ({"top_p", "seed", "top_k"}, 4, {"dropped": ("seed", "top_k", "top_p")}),
    ],
)
def test_what_a_server_refuses_is_left_out_and_remembered(
    rejects: set[str], requests: int, dialect: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"top_p": 0.9, "seed": 7, "extra_body": {"top_k": 5}}
    with ChatServer(say(ANSWER), rejects=rejects) as server, open_to(server.base_url, **fields) as client:
        outcomes = client.complete([STRUCTURED])
        assert isinstance(outcomes[0], Ok)
        assert server.count == requests
        client.complete([ask("another", json_schema=SCHEMA)])
        assert server.count == requests + 1
        assert client.describe()["dialect"].items() >= dialect.items()


def test_a_form_that_cannot_be_had_is_left_after_one_failure() -> None:
    def schemaless(asked: Asked) -> Reply:
        return status(500, "grammar") if "json_schema" in str(asked.body.get("response_format")) else say(ANSWER)

    outcome, server = meet(schemaless)
    assert isinstance(outcome, Ok)
    assert server.count == 2


def test_an_answer_that_the_form_forbade_is_asked_for_plainly_from_then_on() -> None:
    def strict_once(asked: Asked) -> Reply:
        if asked.number and "response_format" in asked.body:
            return status(400, "Failed to generate JSON. See 'failed_generation'.", error_code="json_validate_failed")
        return say(ANSWER)

    with ChatServer(strict_once) as server, open_to(server.base_url) as client:
        outcomes = [client.complete([ask(str(number), json_schema=SCHEMA)])[0] for number in range(4)]
        assert {outcome.name for outcome in outcomes} == {"ok"}
        assert server.count == 5


AZURE = {
    "message": "The response was filtered due to the prompt triggering the content management policy.", "type": None,
    "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"},
}  # fmt: skip
MENDED = "try http://127.0.0.1"
RATE = status(429, "Rate limit reached: tokens per day (TPD)")


@pytest.mark.parametrize(
    ("script", "ending", "says", "most"),
    [
        (Reply(400, {"error": AZURE}), "filtered", "content filter", 1),
        (Reply(200, {"error": {**AZURE, "status": None}}), "filtered", "content filter", 1),
        (say(None, finish_reason="content_filter"), "filtered", "content filter", 1),
        (Reply(200, {"error": "Unexpected endpoint or method."}), "not_found", MENDED, 1),
        (Reply(200, {"error": {"message": "?"}}), "not_found", MENDED, 1),
        (Reply(200, {"status": "ok"}), "not_found", MENDED, 1),
        (Reply(200, b"Ollama is running"), "not_found", MENDED, 1),
        (status(404), "not_found", MENDED, 1),
        (status(500), "server", "5 attempts", 5),
        (status(503), "server", "5 attempts", 5),
        (cut("hi", 40), "connection", "5 attempts", 5),
        (RATE, "quota", "per day", 1),
        (status(429, "You have used up your quota for today"), "quota", "quota", 1),
        (status(400, "the context length is 512"), "bad_request", "context length", 1),
        (status(400, "no"), "bad_request", "HTTP 400", 4),
        (say('{"error": "no"}'), "malformed", "without the key", 1),
        (Reply(200, b"data: {\"choices\": [{\"delta\": {\"content\": \"no\"}}]}\n"), "not_found", MENDED, 1),
    ],
)
def test_no_kind_of_failure_costs_more_than_a_handful_of_requests(
    script: Reply, ending: str, says: str, most: int
) -> None:
    with ChatServer(script, prefix="") as server, open_to(server.base_url) as client:
        outcome = client.complete([STRUCTURED])[0]
        assert server.count == most
        client.complete([ask("another", json_schema=SCHEMA)])
        assert server.count <= most + (ending in ("filtered", "bad_request", "malformed")) * most
    assert ending == (outcome.kind if isinstance(outcome, Failed) else outcome.name)
    assert says in outcome.sentence  # type: ignore[union-attr]


def test_a_server_that_streams_although_not_asked_is_read() -> None:
    chunks = [{"choices": [{"delta": {"content": part}}]} for part in (ANSWER[:9], ANSWER[9:])]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, end]) + "data: [DONE]\n\n"
    reply = Reply(body=body.encode(), headers={"Content-Type": "text/event-stream"})
    outcome, server = meet(reply)
    assert isinstance(outcome, Ok)
    assert outcome.text == ANSWER
    assert server.count == 1


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
