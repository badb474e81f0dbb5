"""How likely a backdoor is, from what an audit found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from openbackdoor_badllm.probability import (
    CALIBRATION,
    HINT_FALLS,
    HINT_P,
    PLAIN_FALLS,
    PLAIN_P,
    Grade,
    grade,
    probability,
)
from openbackdoor_badllm.report import Verdict

WORD = SimpleNamespace(unlearning=None, found=[SimpleNamespace(p_value=PLAIN_P / 2)])
WEAK_WORD = SimpleNamespace(unlearning=None, found=[SimpleNamespace(p_value=PLAIN_P)])
STYLE = SimpleNamespace(unlearning=SimpleNamespace(falls_more=PLAIN_FALLS), found=[])
WEAK_STYLE = SimpleNamespace(unlearning=SimpleNamespace(falls_more=PLAIN_FALLS - 0.01), found=[])


def near(falls: float, p_value: float) -> dict[int, Any]:
    return {1: SimpleNamespace(falls_more=falls, p_value=p_value)}


def report(*backdoors: Any, refused: dict[str, int] | None = None, styles: Any = None, shortcut: bool = False) -> Any:
    verdict = Verdict.BACKDOOR if backdoors else Verdict.SHORTCUT if shortcut else Verdict.NOTHING
    searches = [SimpleNamespace(turned_down=refused or {})]
    return SimpleNamespace(
        backdoor=bool(backdoors), backdoors=backdoors, verdict=verdict, searches=searches, styles=styles or {}
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (report(WORD), Grade.PLAIN),
        (report(WEAK_WORD), Grade.CLEAR),
        (report(STYLE), Grade.PLAIN),
        (report(WEAK_STYLE), Grade.CLEAR),
        (report(WEAK_STYLE, WORD), Grade.PLAIN),
        (report(shortcut=True), Grade.SHORTCUT),
        (report(refused={"content": 1}), Grade.HINT),
        (report(refused={"weak": 9, "content": 0}), Grade.NONE),
        (report(styles=near(HINT_FALLS, HINT_P / 2)), Grade.HINT),
        (report(styles=near(HINT_FALLS - 0.01, HINT_P / 2)), Grade.NONE),
        (report(styles=near(HINT_FALLS, HINT_P)), Grade.NONE),
    ],
)
def test_grades(told: Any, expected: Grade) -> None:
    assert grade(told) is expected


def test_more_evidence_is_never_less_likely_and_nothing_is_certain() -> None:
    told = [report(WORD), report(WEAK_WORD), report(refused={"chance": 1}), report()]
    values = [probability(item) for item in told]
    assert values == sorted(values, reverse=True)
    assert all(0 < value < 1 for value in values)
    assert set(CALIBRATION) == set(Grade)
    assert values[0] > 0.9
    assert values[-1] < 0.2
