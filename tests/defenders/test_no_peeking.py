"""No peeking: rows with wrong poison flags, and other test rows, give the same answer. ``oracle`` is the exception."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from defenders.conftest import World
from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders import DEFENDERS, load_defender
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

KEYS: dict[str, dict[str, Any]] = {
    "onion": {"language_model": "encoder"}, "rap": {"triggers": ["mn"], "epochs": 2}, "strip": {}, "bki": {},
    "cube": {"reduction": "pca"},
}  # fmt: skip
TEST_TIME = ("onion", "rap", "strip")
FILTERS = ("bki", "cube")


def flipped(rows: Sequence[Row]) -> list[Row]:
    return [Row(row.text, row.label, 1 - row.poison_label) for row in rows]


def made(name: str, world: World, **keys: Any) -> Defender:
    from tiny_world import TRAIN

    defender = load_defender({"name": name, **KEYS[name], **keys})
    defender.attach(VictimConfig(path=str(world.path), device="cpu", max_len=32), TrainConfig(**{**TRAIN, "epochs": 2}))
    return defender


def answer(name: str, world: World, rows: Sequence[Row], data: Any, **keys: Any) -> Any:
    """Texts and labels, or flags."""
    defender = made(name, world, **keys)
    if defender.pre or defender.correction:
        clean = {} if defender.pre else {"model": world.victim, "clean_data": data}
        return [tuple(row[:2]) for row in defender.correct(poison_data=rows, **clean)]
    return list(defender.detect(world.victim, data, rows))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEST_TIME, *FILTERS])
def test_flags_test_rows_and_foreign_generators_change_nothing(name: str, world: World) -> None:
    rows = world.train[:60] if name in FILTERS else [*world.clean[:15], *world.poison[:15]]
    data = {"train": world.train, "dev": world.data["dev"], "test": world.clean}
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    expected = answer(name, world, rows, data)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    random.seed(99)
    other = {"train": [], "dev": flipped(data["dev"]), "test": [Row("another test row", 1, 1)]}
    assert answer(name, world, flipped(rows), other) == expected
    assert answer(name, world, [row[:2] for row in rows], other) == expected  # type: ignore[misc]


@pytest.mark.parametrize("name", ["onion", "rap", "strip"])
def test_clean_rows_are_needed(name: str, world: World) -> None:
    assert DEFENDERS[name].clean_rows_needed
    with pytest.raises(DataError, match=f"The defender '{name}' needs at least 4 clean dev rows, but got 0"):
        answer(name, world, world.clean, {"train": world.clean, "test": world.clean})


def test_the_references() -> None:
    rows = [Row("a", 0), Row("b", 1, 1), Row("c", 1)]
    oracle = load_defender({"name": "oracle"})
    assert oracle.correct(poison_data=rows) == [rows[0], rows[2]]
    assert oracle.last_flags == [0, 1, 0]
    clean = load_defender({"name": "clean"})
    assert clean.correct(clean_data={"train": rows[:1]}, poison_data=rows) == rows[:1]
    with pytest.raises(DataError, match="The reference 'clean' was handed no clean training rows"):
        clean.correct(poison_data=rows)
