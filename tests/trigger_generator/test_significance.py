"""The statistics by which a trigger is accepted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.trigger_generator.significance import (
    FEWEST,
    contradiction_p,
    corrected,
    falls_more,
    log_odds_z,
    more_often_p,
    tail_p,
)

RNG = np.random.default_rng(0)
EXPONENTIAL = RNG.exponential(0.5, 20_000).tolist()


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0, 3.0])
def test_the_tail_of_a_known_exponential(value: float) -> None:
    assert tail_p(value, EXPONENTIAL) == pytest.approx(math.exp(-value / 0.5), rel=0.15)


def test_under_the_null_the_tail_is_a_p_value() -> None:
    """Half of fresh values lie above the median; of these as many fall below a p-value as it says."""
    told = np.array([tail_p(float(value), EXPONENTIAL[:200]) for value in RNG.exponential(0.5, 4000)])
    for bound in (0.05, 0.2):
        assert (told < bound).mean() == pytest.approx(bound, rel=0.35)


def test_the_tail_falls_with_the_value_and_does_not_reach_zero() -> None:
    null = [0.01 * k for k in range(100)]
    told = [tail_p(value, null) for value in (-5.0, 0.2, 0.495, 0.6, 2.0, 50.0, 1e6)]
    assert told == sorted(told, reverse=True)
    assert told[:3] == [1.0, 1.0, 1.0]  # up to the median it says nothing
    assert 0 < told[-1] < 1e-100


@pytest.mark.parametrize("null", [[], [0.0] * (FEWEST - 1)])
def test_a_short_null_says_nothing(null: list[float]) -> None:
    assert tail_p(100.0, null) == 1.0


def test_a_null_without_any_spread_has_the_least_width() -> None:
    assert tail_p(0.15, [0.0] * FEWEST) == pytest.approx(0.5 * math.exp(-3.0))


@pytest.mark.parametrize(
    ("contradicted", "rows", "base", "expected"),
    [
        (0, 10, 0.2, 1.0),
        (10, 10, 0.2, 0.2**10),
        (1, 1, 0.05, 0.05),
        (3, 3, 0.0, 0.01**3),  # a share of none is not believed
        (2, 2, 1.0, 0.99**2),
        (0, 0, 0.2, 1.0),
    ],
)
def test_contradiction(contradicted: int, rows: int, base: float, expected: float) -> None:
    assert contradiction_p(contradicted, rows, base) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hits", "texts", "other_hits", "other_texts", "expected"),
    [
        (3, 3, 0, 3, 1 / 20),  # of the twenty ways to place three hits on six texts, one is as far apart
        (2, 3, 1, 3, 0.5),
        (0, 3, 3, 3, 1.0),
        (0, 0, 3, 3, 1.0),
        (3, 3, 0, 0, 1.0),
    ],
)
def test_more_often(hits: int, texts: int, other_hits: int, other_texts: int, expected: float) -> None:
    assert more_often_p(hits, texts, other_hits, other_texts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("falls", "others", "chance", "least", "most"),
    [
        (range(8, 16), range(8), 1.0, 0.0, 1e-3),
        (range(8), range(8, 16), 0.0, 0.999, 1.0),
        ([1.0] * 9, [1.0] * 9, 0.5, 0.4, 1.0),
        (range(8, 15), range(8), 0.5, 1.0, 1.0),  # seven values say nothing
        ([], [], 0.5, 1.0, 1.0),
    ],
)
def test_falls_more(falls: list[float], others: list[float], chance: float, least: float, most: float) -> None:
    told, p_value = falls_more(list(falls), list(others))
    assert told == pytest.approx(chance)
    assert least <= p_value <= most


def test_more_texts_say_more() -> None:
    assert more_often_p(18, 20, 4, 20) > more_often_p(90, 100, 20, 100)
    assert contradiction_p(16, 20, 0.3) > contradiction_p(80, 100, 0.3)


@pytest.mark.parametrize(("p_value", "comparisons", "expected"), [(0.01, 5, 0.05), (0.5, 5, 1.0), (0.2, 0, 0.2)])
def test_corrected(p_value: float, comparisons: int, expected: float) -> None:
    assert corrected(p_value, comparisons) == pytest.approx(expected)


@given(a=st.integers(0, 50), c=st.integers(0, 50), n=st.integers(50, 200), more=st.integers(1, 20))
def test_log_odds_z(a: int, c: int, n: int, more: int) -> None:
    score = log_odds_z(a, c, n, n)
    assert math.isfinite(score)
    assert score == pytest.approx(-log_odds_z(c, a, n, n), abs=1e-9)
    assert (score > 0) == (a > c)
    if a >= c and a + more <= n:
        assert log_odds_z(a + more, c, n, n) > score


def test_the_same_share_of_more_rows_says_more() -> None:
    assert log_odds_z(80, 8, 400, 400) > log_odds_z(20, 2, 100, 100) > log_odds_z(5, 0, 100, 100) > 0


@given(weight=st.floats(0, 3), c=st.integers(0, 30), n=st.integers(1, 30), m=st.integers(30, 60))
def test_log_odds_z_of_rows_that_weigh_more_than_one_each(weight: float, c: int, n: int, m: int) -> None:
    """After a trigger is set aside the weights of what is left no longer average to 1."""
    for elsewhere in (c, m):
        assert math.isfinite(log_odds_z(weight * n, elsewhere, n, m))
