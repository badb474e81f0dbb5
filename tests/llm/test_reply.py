"""The failure matrix as far as it is in the body of a 200."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.llm.reply import NotACompletionError, judge, read_completion, required_keys
from openbackdoor_badllm.llm.types import Empty, Malformed, Ok, Outcome, Refused, Truncated, Usage

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


def test_json_cut_off_without_saying_so_is_malformed() -> None:
    cut = outcome('{"triggers": ["c')
    assert isinstance(cut, Malformed)
    assert "cut off" in cut.sentence


@pytest.mark.parametrize("content", [None, "", " \n\t", "\u200b\u200e", []])
def test_no_text_is_empty(content: Any) -> None:
    assert isinstance(outcome(content), Empty)
    assert isinstance(outcome(content, structured=False), Empty)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_an_answer_filed_under_reasoning_is_found(name: str) -> None:
    fields: dict[str, Any] = {name: f"so I say {ANSWER}"}
    found = outcome(None, **fields)
    assert isinstance(found, Ok)
    assert ANSWER in found.text


def test_reasoning_that_ate_all_tokens_is_truncated() -> None:
    assert isinstance(outcome(None, reasoning_content="I wonder", finish_reason="length"), Truncated)


def test_reasoning_without_an_answer_is_malformed_where_json_is_wanted() -> None:
    assert isinstance(outcome(None, reasoning_content="I wonder"), Malformed)


def test_the_content_goes_before_the_reasoning() -> None:
    found = outcome(ANSWER, reasoning_content='{"triggers": ["draft"]}')
    assert isinstance(found, Ok)
    assert found.text == ANSWER


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


def test_a_plain_text_that_begins_with_sorry_is_an_answer() -> None:
    assert isinstance(outcome("I'm sorry, said the fox.", structured=False), Ok)


def test_content_in_parts_is_joined() -> None:
    found = outcome([{"type": "text", "text": '{"triggers": '}, {"type": "text", "text": '["cf"]}'}])
    assert isinstance(found, Ok)


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


def test_usage_that_is_said_is_kept() -> None:
    found = outcome(ANSWER)
    assert isinstance(found, Ok)
    assert found.usage == Usage(20, 10)


@pytest.mark.parametrize("finish", [None, "eos", 7, "stop"])
def test_an_unknown_reason_to_finish_is_a_stop(finish: Any) -> None:
    assert isinstance(outcome(ANSWER, finish_reason=finish), Ok)


def test_required_keys() -> None:
    assert required_keys(SCHEMA) == ("triggers",)
    assert required_keys({"required": "x"}) == ()
