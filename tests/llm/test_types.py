from __future__ import annotations

import pytest

from openbackdoor_badllm.llm.types import (
    ChatRequest,
    Empty,
    Failed,
    Malformed,
    Ok,
    Outcome,
    Refused,
    Truncated,
    Usage,
    outcome_from_json,
    outcome_to_json,
    usage_of,
)


@pytest.mark.parametrize(
    "outcome",
    [
        Ok("text", Usage(3, 4)),
        Truncated("te", Usage(3, 4, estimated=True)),
        Refused("no"),
        Empty(Usage(1, 0)),
        Malformed("{", Usage(1, 1), "cut"),
        Failed("quota", "nothing left"),
    ],
)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert outcome_from_json(outcome_to_json(outcome)) == outcome


@pytest.mark.parametrize("data", [{}, {"outcome": "ok"}, {"outcome": "great", "text": "x"}, {"outcome": "ok", "t": 1}])
def test_what_is_no_outcome_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a recorded outcome"):
        outcome_from_json(data)


def test_a_request_needs_a_message() -> None:
    with pytest.raises(ValueError, match="at least one message"):
        ChatRequest(())


def test_usage_adds_up_and_stays_estimated() -> None:
    assert Usage(1, 2) + Usage(3, 4, estimated=True) == Usage(4, 6, estimated=True)
    assert Usage(1, 2).total == 3
    assert usage_of(Failed("server", "down")) == Usage()


@pytest.mark.parametrize(("kind", "fatal"), [("auth", True), ("quota", True), ("server", False), ("budget", False)])
def test_fatal_failures(kind: str, fatal: bool) -> None:
    assert Failed(kind, "x").fatal is fatal  # type: ignore[arg-type]
