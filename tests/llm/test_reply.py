"""The failure matrix as far as it is in the body of a 200."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openbackdoor_badllm.llm.reply import NotACompletionError, judge, read_body, read_completion
from openbackdoor_badllm.llm.retry import AttemptError
from openbackdoor_badllm.llm.types import Empty, Filtered, Ok, Outcome, Refused, Truncated, Usage

from .chat_server import say
from .helpers import ANSWER, SCHEMA, ask

STRUCTURED = ask(json_schema=SCHEMA)
PLAIN = ask()


def outcome(content: Any, *, structured: bool = True, **fields: Any) -> Outcome:
    return judge(read_completion(say(content, **fields).body), STRUCTURED if structured else PLAIN)


@pytest.mark.parametrize(
    "content", [ANSWER, f"Sure:\n{ANSWER}\nBye.", f"```json\n{ANSWER}\n```", f"<think>x</think>{ANSWER}"]
)
def test_prose_fences_and_thoughts_around_json_are_fine(content: str) -> None:
    assert isinstance(outcome(content), Ok)


def test_the_token_limit_is_never_a_full_answer() -> None:
    assert isinstance(outcome('{"triggers": ["c', finish_reason="length"), Truncated)
    assert isinstance(outcome(ANSWER, finish_reason="length"), Truncated)
    assert isinstance(outcome("half a", finish_reason="length", structured=False), Truncated)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": None, "refusal": "I can't help with that."},
        {"content": "Not this.", "finish_reason": "refusal"},
        {"content": "I'm sorry, but I can't help with that."},
        {"content": "I cannot assist with creating triggers."},
        {"content": "As an AI, I must not."},
    ],
)
def test_refusals(fields: dict[str, Any]) -> None:
    assert isinstance(outcome(**fields), Refused)


def test_every_key_may_be_null() -> None:
    message = {"content": ANSWER, "refusal": None, "reasoning": None, "tool_calls": None}
    body = {"choices": [{"message": message, "finish_reason": None}], "usage": None, "error": None}
    assert isinstance(judge(read_completion(body), STRUCTURED), Ok)
    for message_of, kind in ((None, Empty), ({"content": None}, Empty)):
        assert isinstance(judge(read_completion({"choices": [{"message": message_of}]}), STRUCTURED), kind)
    filtered = {"choices": [{"message": None, "finish_reason": "content_filter"}]}
    assert isinstance(judge(read_completion(filtered), STRUCTURED), Filtered)


STREAM = """: waiting

event: message
data: {"choices": [], "prompt_filter_results": []}

data: {"choices": [{"delta": {"role": "assistant", "content": "he"}, "finish_reason": null}], "usage": null}
data: {"choices": [{"delta": {"content": "llo"}, "finish_reason": null}]}
data: {"choices": [{"delta": {"content": null}, "finish_reason": "stop"}]}
data: {"choices": null, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
data: [DONE]
"""


def test_a_stream_is_put_together() -> None:
    assert judge(read_body(STREAM), PLAIN) == Ok("hello", Usage(3, 2))
    lines = "\n".join(line.removeprefix("data: ") for line in STREAM.splitlines() if line.startswith("data: {"))
    assert judge(read_body(lines), PLAIN) == Ok("hello", Usage(3, 2))
    cut = STREAM[: STREAM.index('data: {"choices": [{"delta": {"content": null}')]
    for broken in (cut, 'data: {"error": {"message": "overloaded"}}\n', "Ollama is running"):
        with pytest.raises(AttemptError) as caught:
            read_body(broken)
        assert caught.value.verdict.action == "transient"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "slow down", "code": "429"}}, "rate_limit"),
        ({"error": "Unexpected endpoint or method. (POST /chat/completions)"}, "not_found"),
        ({"error": {"message": "no", "code": "content_filter"}, "choices": None}, "filtered"),
        ({"error": {"code": "insufficient_quota"}, "choices": []}, "quota"),
        ({"detail": "Not Found"}, "not_found"),
        ({"object": "error", "message": "CUDA out of memory"}, "server"),
        ({"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "upstream"}}]}, "server"),
    ],
)
def test_an_error_in_the_body_is_an_error_whatever_the_status(body: Any, kind: str) -> None:
    with pytest.raises(AttemptError) as caught:
        read_body(json.dumps(body))
    assert caught.value.verdict.kind == kind


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        3,
        {},
        {"choices": []},
        {"choices": "many"},
        {"choices": [None]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"message": {"content": 42}}]},
        {"choices": [{"message": {"content": {"triggers": []}}}]},
        {"choices": [{"message": {"content": [{"text": 3}]}}]},
    ],
)
def test_wrong_types_are_no_completion(body: Any) -> None:
    with pytest.raises(NotACompletionError):
        read_completion(body)


@pytest.mark.parametrize(
    "usage", [None, {}, [], "many", {"prompt_tokens": "20", "completion_tokens": 1}, {"prompt_tokens": -1}]
)
def test_usage_that_is_not_said_is_estimated(usage: Any) -> None:
    found = judge(read_completion(say("abc" * 10, usage=usage).body), PLAIN)
    assert isinstance(found, Ok)
    assert found.usage == Usage(2, 10, estimated=True)
