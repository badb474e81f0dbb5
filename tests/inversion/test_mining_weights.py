"""Weighted counts may exceed the number of rows; the score must stay defined (it once did not)."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.inversion.mining import log_odds_z, mine
from openbackdoor_badllm.rows import Example


@given(
    in_target=st.floats(0, 500), in_other=st.integers(0, 60), n_target=st.integers(1, 60), more=st.integers(0, 60)
)
def test_score_is_finite_whatever_the_weights(in_target: float, in_other: int, n_target: int, more: int) -> None:
    assert math.isfinite(log_odds_z(in_target, in_other, n_target, in_other + more))


def test_a_word_in_every_heavy_row_is_mined() -> None:
    target = [Example(f"everywhere word{i}", 1) for i in range(12)]
    other = [Example(f"nothing here{i}", 0) for i in range(12)]
    mined = mine(target, other, weights=[3.0] * 12)
    assert mined[0].trigger.text == "everywhere"
