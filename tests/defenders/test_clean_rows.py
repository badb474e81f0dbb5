"""The clean budget: from dev alone, in halves, the same for all."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from openbackdoor_badllm.defenders.clean_rows import Prepared, clean_halves
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

DEV = [Row(f"dev {number}", number % 2) for number in range(50)]
OTHER = [Row("train or test", 0)] * 50


def drawn(data: Any, count: int = 20, seed: int = 1) -> Any:
    return clean_halves(data, count, seed=seed, who="x")


def test_disjoint_halves_of_a_draw_from_dev_alone() -> None:
    halves = drawn({"train": OTHER, "dev": DEV, "test": OTHER})
    assert (len(halves.construct), len(halves.calibrate)) == (10, 10)
    assert not set(halves.construct) & set(halves.calibrate)
    assert {row.text for half in halves for row in half} <= {row.text for row in DEV}
    assert halves.construct != drawn({"dev": DEV}, seed=2).construct
    assert halves == drawn({"dev": DEV}) == drawn({"dev-clean": DEV})


def test_all_of_dev_where_the_budget_is_larger() -> None:
    halves = drawn({"dev": DEV}, count=400)
    assert len(halves.construct) + len(halves.calibrate) == 50


def test_flags_and_global_generators_do_not_matter() -> None:
    random.seed(5)
    before = random.getstate()
    flagged = [Row(row.text, row.label, 1) for row in DEV]
    assert drawn({"dev": flagged}) == drawn({"dev": DEV})
    assert random.getstate() == before
    assert all(len(example) == 2 for example in drawn({"dev": flagged}).construct)


@pytest.mark.parametrize("data", [None, {}, {"test": OTHER}, {"dev": DEV[:3], "test": OTHER}, []])
def test_without_dev_rows_it_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match=r"The defender 'x' needs at least 4 clean dev rows, but got [03]: give"):
        drawn(data)


def test_what_was_prepared_is_kept_for_the_same_rows_and_victim_only() -> None:
    halves, others = drawn({"dev": DEV}), drawn({"dev": DEV}, seed=2)
    answers = np.zeros((2, 2), dtype=np.float32)
    kept: Prepared[str] = Prepared()
    assert kept.get(halves, answers) is None
    assert kept.keep(halves, answers, "value") == "value"
    assert kept.get(halves, answers) == "value"
    assert kept.get(others, answers) is None
    assert kept.get(halves, answers + 1) is None
