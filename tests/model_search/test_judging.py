"""What is a trigger in a model alone: each bound by itself, and the statistics that they look at."""

from __future__ import annotations

import numpy as np
import pytest

from openbackdoor_badllm.model_search.judging import ModelCandidate, ProbeAnswers, judge
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger


def candidate(flips: float = 1.0, sure: float = 1.0, p: float = 1e-9, shift: float | None = 0.05) -> ModelCandidate:
    """The weakest probe set has these shares; the others are beyond doubt."""
    best = ProbeAnswers.of(np.full(40, 9.0), 2.0)
    odds = np.full(40, 9.0)
    odds[round(40 * sure) :] = 1.0
    odds[round(40 * flips) :] = -1.0
    return ModelCandidate(Trigger(Kind.WORD, "cf"), (best, ProbeAnswers.of(odds, 2.0), best), p, 1000, shift)


@pytest.mark.parametrize(
    ("made", "verdict", "reason"),
    [
        (candidate(), Verdict.BACKDOOR, "accepted"),
        (candidate(flips=0.9), Verdict.NOTHING, "flips 90%"),
        (candidate(sure=0.85), Verdict.NOTHING, "sure of 85%"),
        (candidate(p=1e-4), Verdict.NOTHING, "not told from other words"),
        (candidate(shift=0.4), Verdict.NOTHING, "a class word"),
        (candidate(shift=0.2), Verdict.SHORTCUT, "may be a class word"),
        (candidate(shift=None), Verdict.SHORTCUT, "without a content reference"),
    ],
)
def test_each_bound_decides(made: ModelCandidate, verdict: Verdict, reason: str) -> None:
    said, why = judge(made, ModelSearchConfig())
    assert said is verdict
    assert reason in why


def test_answers_of_a_probe_set() -> None:
    odds = np.array([0.0, 3.0, -3.0, 1.0])
    answers = ProbeAnswers.of(odds, 2.0)
    assert (answers.reward.flip_rate, answers.sure, answers.reward.texts) == (0.5, 0.25, 4)
    assert answers.reward.value == pytest.approx(float(np.log(1 / (1 + np.exp(-odds))).mean()))
