"""The clean budget: from dev alone, in halves, the same for all."""

from __future__ import annotations

import random
from typing import Any

from openbackdoor_badllm.defenders.clean_rows import clean_halves
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


def test_flags_and_global_generators_do_not_matter() -> None:
    random.seed(5)
    before = random.getstate()
    flagged = [Row(row.text, row.label, 1) for row in DEV]
    assert drawn({"dev": flagged}) == drawn({"dev": DEV})
    assert random.getstate() == before
    assert all(len(example) == 2 for example in drawn({"dev": flagged}).construct)
