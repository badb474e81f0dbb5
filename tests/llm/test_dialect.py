from __future__ import annotations

import pytest

from openbackdoor_badllm.llm.dialect import Dialect, is_strict, sendable
from openbackdoor_badllm.llm.types import ChatRequest

from .helpers import SCHEMA, ask

FIELDS = ("model", "messages", "response_format", "max_tokens", "temperature", "seed")
NO_SCHEMA = Dialect("json_object")


@pytest.mark.parametrize(
    ("status", "said", "structured", "accepted", "after"),
    [
        (400, "unknown field response_format", True, False, NO_SCHEMA),
        (422, "", True, False, NO_SCHEMA),
        (500, "", True, False, NO_SCHEMA),
        (501, "", True, False, NO_SCHEMA),
        (503, "", True, False, None),
        (404, "No endpoints support the requested parameters", True, True, NO_SCHEMA),
        (404, "no such model", True, False, None),
        (400, "Failed to validate JSON. See 'failed_generation'", True, True, Dialect("plain")),
        (0, '{"code": "json_validate_failed"}', True, True, Dialect("plain")),
        (500, "", True, True, None),
        (400, "the prompt is too long", True, False, None),
        (400, "", True, True, None),
        (400, "", False, False, Dialect(dropped=("seed", "temperature"))),
        (500, "", False, False, None),
        (400, "use max_completion_tokens", True, True, Dialect(token_field="max_completion_tokens")),
        (400, "'temperature' does not support 0.7 with this model", False, False, Dialect(dropped=("temperature",))),
        (400, "temperature: only 1 is allowed", True, True, Dialect(dropped=("temperature",))),
        (422, "`seed` is deprecated", True, True, Dialect(dropped=("seed",))),
        (400, "temperature and seed cannot be given together", True, True, Dialect(dropped=("seed", "temperature"))),
    ],
)
def test_what_a_rejection_teaches(
    status: int, said: str, structured: bool, accepted: bool, after: Dialect | None
) -> None:
    assert Dialect().after_rejection(status, said, FIELDS, structured=structured, accepted=accepted) == after


def test_a_token_limit_that_is_refused_under_both_names_is_left_out() -> None:
    other = Dialect(token_field="max_completion_tokens")
    fields = ("max_completion_tokens",)
    assert other.after_rejection(400, "max_completion_tokens?", fields, structured=False, accepted=True) == Dialect(
        token_field=None
    )
    assert "max_tokens" not in Dialect(token_field=None).body(ask(max_tokens=5), {})


def test_strict_mode_only_for_a_closed_schema() -> None:
    assert is_strict(SCHEMA)
    assert not is_strict({"type": "object", "properties": {"a": {}}, "required": ["a"]})
    assert not is_strict({**SCHEMA, "required": []})
    nested = {"type": "array", "items": {"type": "object", "properties": {}}}
    assert not is_strict({**SCHEMA, "properties": {"triggers": nested}})


def test_a_lone_surrogate_can_be_sent() -> None:
    assert sendable("a\ud800b") == "a?b"
    request: ChatRequest = ask("a\ud800b")
    assert Dialect().body(request, {})["messages"][0]["content"].encode()
