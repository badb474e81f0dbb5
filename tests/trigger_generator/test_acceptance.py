"""The acceptance tests: each passes and fails by the smallest change, and can be switched off."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from scipy.optimize import brentq

from openbackdoor_badllm.settings import SearchConfig, Thresholds
from openbackdoor_badllm.trigger_generator.acceptance import TESTS, Candidate, Reason, least_flip_rate, refusal
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.significance import joint
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger

BOUNDS = Thresholds()
SMALL = 0.001


def reward(flip_rate: float) -> Reward:
    return Reward(-0.1, flip_rate, 40)


GOOD = Candidate(
    Trigger(Kind.WORD, "cf"),
    search=reward(1.0),
    select=reward(1.0),
    target_rows=80,
    other_rows=0,
    label_rows=200,
    rows=400,
    reference_shift=0.0,
    contradicted=0.9,
    usual=0.95,
    contradiction_p=1e-12,
    tail_p=1e-12,
    comparisons=100,
    beside=False,
)
"""An attacker's word: its rows contradict their label, and nothing ordinary shifts as much."""
TAIL = dataclasses.replace(GOOD, contradiction_p=1.0, contradicted=0.1, reference_shift=0.2)
"""One for which only the tail speaks, as under clean-label poisoning."""
BESIDE = dataclasses.replace(GOOD, beside=True)


def reason(candidate: Candidate, *skipped: str, bounds: Thresholds = BOUNDS, **changes: Any) -> Reason | None:
    failed = refusal(dataclasses.replace(candidate, **changes), bounds, skipped)
    return None if failed is None else failed.reason


@pytest.mark.parametrize("candidate", [GOOD, TAIL, BESIDE], ids=["contradicts", "tail", "beside"])
def test_the_good_ones_pass(candidate: Candidate) -> None:
    assert reason(candidate) is None


B = BOUNDS
SHIFT = B.reference_shift
LARGEST = float(brentq(lambda p: joint(p, 1.0) - B.joint_p / 100, 1e-12, 1e-2))
"""The largest p-value of a contradiction that is enough by itself, for a hundred candidates."""
# Of 80 rows, one standard error of the share is 0.04.
CASES = [
    (GOOD, Reason.WEAK_IN_SELECT, {"select": reward(B.flip_rate)}, {"select": reward(B.flip_rate - SMALL)}),
    (BESIDE, Reason.WEAK_IN_SELECT, {"select": reward(B.sibling_flip_rate)},
     {"select": reward(B.sibling_flip_rate - SMALL)}),
    (BESIDE, Reason.WEAK_IN_SELECT, {"select": reward(B.flip_rate), "weak": True},
     {"select": reward(B.flip_rate - SMALL), "weak": True}),
    (TAIL, Reason.CHANCE, {"weak": False}, {"weak": True}),
    (GOOD, Reason.FEW_ROWS, {"target_rows": 2}, {"target_rows": 1}),  # 0.5 % of 400 rows
    (TAIL, Reason.SHORTCUT, {"label_rows": 160}, {"label_rows": 159}),  # 80 rows are half of them
    (TAIL, Reason.CONTENT, {"reference_shift": SHIFT}, {"reference_shift": SHIFT + SMALL}),
    (dataclasses.replace(TAIL, trigger=Trigger(Kind.SENTENCE, "I watch this movie")), Reason.CONTENT,
     {"reference_shift": B.foreign_shift}, {"reference_shift": B.foreign_shift + SMALL}),
    (GOOD, Reason.CONTENT, {"reference_shift": B.foreign_shift}, {"reference_shift": B.foreign_shift + SMALL}),
    (dataclasses.replace(GOOD, reference_shift=B.foreign_shift), Reason.CONTENT,
     {"contradicted": B.like_others * GOOD.usual - 0.03}, {"contradicted": B.like_others * GOOD.usual - 0.05}),
    (dataclasses.replace(BESIDE, usual=0.5), Reason.SIBLING, {"search": reward(B.flip_rate - SMALL)},
     {"search": reward(B.flip_rate - SMALL), "contradicted": 0.5 - SMALL}),
    (TAIL, Reason.CHANCE, {"tail_p": 0.99 * B.tail_p / 100}, {"tail_p": 1.01 * B.tail_p / 100}),
    (TAIL, Reason.CHANCE, {"search": reward(B.certain_flip_rate)}, {"search": reward(B.certain_flip_rate - SMALL)}),
    (TAIL, Reason.CHANCE, {"select": reward(B.certain_flip_rate)}, {"select": reward(B.certain_flip_rate - SMALL)}),
    (dataclasses.replace(TAIL, tail_p=1.0), Reason.CHANCE, {"reference_shift": B.silent_shift},
     {"reference_shift": B.silent_shift + SMALL}),
    (dataclasses.replace(TAIL, tail_p=1.0, reference_shift=0.0), Reason.CHANCE, {"rival": B.silent_rival},
     {"rival": B.silent_rival + SMALL}),
    (dataclasses.replace(BESIDE, tail_p=1.0, reference_shift=0.2, contradiction_p=2 * LARGEST), Reason.CHANCE,
     {"beside": True}, {"beside": False}),
    (dataclasses.replace(GOOD, tail_p=1.0, reference_shift=0.2), Reason.CHANCE, {"contradiction_p": 0.99 * LARGEST},
     {"contradiction_p": 1.01 * LARGEST}),
]  # fmt: skip


@pytest.mark.parametrize(("candidate", "expected", "kept", "broken"), CASES)
def test_each_passes_and_fails_by_the_smallest_change(
    candidate: Candidate, expected: Reason, kept: dict[str, Any], broken: dict[str, Any]
) -> None:
    assert reason(candidate, **kept) is None
    assert reason(candidate, **broken) is expected
    assert reason(candidate, expected.value, **broken) is None  # switched off, nothing else objects
    test = next(item for item in TESTS if item.reason is expected)
    sentence = test.sentence(dataclasses.replace(candidate, **broken))
    assert sentence
    assert sentence[0].islower()
    assert not sentence.endswith(".")


def test_every_test_is_covered_and_can_be_named_in_a_config() -> None:
    assert {expected for _, expected, *_ in CASES} == {test.reason for test in TESTS}
    assert SearchConfig(skip_tests=[*(test.reason.value for test in TESTS), Reason.ECHO.value]).skip_tests


def test_the_first_that_fails_gives_the_reason() -> None:
    hopeless = dataclasses.replace(
        TAIL, select=reward(0.0), rows=10**6, label_rows=100, reference_shift=9.0, tail_p=1.0
    )
    order = []
    skipped: list[str] = []
    while (found := reason(hopeless, *skipped)) is not None:
        order.append(found)
        skipped.append(found.value)
    assert order == [test.reason for test in TESTS]


@pytest.mark.parametrize("contradicts", [True, False])
def test_the_p_value_that_is_reported_is_the_one_that_decided(contradicts: bool) -> None:
    candidate = dataclasses.replace(GOOD, contradiction_p=1e-9, tail_p=1e-5, contradicted=0.9 if contradicts else 0.1)
    assert candidate.contradicts(BOUNDS) is contradicts
    expected = 100 * joint(1e-9, 1e-5) if contradicts else 100 * 1e-5
    assert candidate.p_value(BOUNDS) == pytest.approx(expected, rel=1e-6)


def test_the_weaker_flip_rate_counts() -> None:
    assert dataclasses.replace(GOOD, search=reward(0.7)).weakest == 0.7
    assert dataclasses.replace(GOOD, select=reward(0.6)).weakest == 0.6


def test_what_is_looked_at_more_closely() -> None:
    assert least_flip_rate(False, BOUNDS) == BOUNDS.flip_rate
    assert least_flip_rate(True, BOUNDS) == BOUNDS.sibling_flip_rate
    assert least_flip_rate(True, BOUNDS.replace(sibling_flip_rate=1.0)) == BOUNDS.flip_rate
