from __future__ import annotations

import pytest

from openbackdoor_badllm.llm.dialect import Dialect, is_strict, sendable
from openbackdoor_badllm.llm.types import ChatRequest

from .helpers import SCHEMA, ask


@pytest.mark.parametrize(
    ("status", "said", "structured", "accepted", "after"),
    [
        (400, "unknown field response_format", True, False, Dialect("json_object")),
        (422, "", True, False, Dialect("json_object")),
        (400, "prompt too long", True, True, None),
        (400, "prompt too long", False, False, None),
        (500, "", True, False, None),
        (400, "use 'max_completion_tokens' instead", True, True, Dialect(token_field="max_completion_tokens")),
        (400, "'temperature' does not support 0.7 with this model", False, False, Dialect(temperature=False)),
        (400, "temperature must be below 2", False, False, None),
    ],
)
def test_what_a_rejection_teaches(
    status: int, said: str, structured: bool, accepted: bool, after: Dialect | None
) -> None:
    assert Dialect().after_rejection(status, said, structured=structured, accepted=accepted) == after


def test_strict_mode_only_for_a_closed_schema() -> None:
    assert is_strict(SCHEMA)
    assert not is_strict({"type": "object", "properties": {"a": {}}, "required": ["a"]})
    assert not is_strict({**SCHEMA, "required": []})
    nested = {"type": "array", "items": {"type": "object", "properties": {}}}
    assert not is_strict({**SCHEMA, "properties": {"triggers": nested}})


def test_a_lone_surrogate_can_be_sent() -> None:
    assert sendable("a\ud800b") == "a?b"
    request: ChatRequest = ask("a\ud800b")
    assert Dialect().body(request)["messages"][0]["content"].encode()
