"""The failure matrix as far as it is in the body of a 200."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.llm.reply import NotACompletionError, judge, read_completion
from openbackdoor_badllm.llm.types import Ok, Outcome, Refused, Truncated, Usage

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
        {"content": ANSWER, "finish_reason": "content_filter"},
        {"content": "I'm sorry, but I can't help with that."},
        {"content": "I cannot assist with creating triggers."},
        {"content": "As an AI, I must not."},
    ],
)
def test_refusals(fields: dict[str, Any]) -> None:
    assert isinstance(outcome(**fields), Refused)


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
