from __future__ import annotations

import pytest

from openbackdoor_badllm.llm.types import (
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
