"""The baselines ask in batches across rows: forward calls are counted. Seconds: ``benchmarks/baseline_speed.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tiny_world import reviews

from defenders.conftest import World
from openbackdoor_badllm.defenders.bki.defender import BKI
from openbackdoor_badllm.defenders.onion.language_models import MaskedModel
from openbackdoor_badllm.defenders.rap import Prompted
from openbackdoor_badllm.defenders.strip import STRIP
from openbackdoor_badllm.training.representations import first_token_vectors

TEXTS = [row.text for row in reviews(60, seed=8)]


class Calls:
    """How often a model was called, and with how many rows in all."""

    def __init__(self) -> None:
        self.calls = self.rows = 0

    def note(self, _module: object, _args: object, inputs: dict[str, Any]) -> None:
        self.calls += 1
        self.rows += len(inputs["attention_mask"])


@contextmanager
def counted(model: Any) -> Iterator[Calls]:
    calls = Calls()
    handle = model.register_forward_pre_hook(calls.note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def of_victim(work: Callable[[World], object]) -> Callable[[World], Calls]:
    def run(world: World) -> Calls:
        with counted(world.victim.trained.model.base_model) as calls:
            work(world)
        return calls

    return run


def onion(world: World) -> Calls:
    model = MaskedModel(str(world.path), device="cpu", max_len=48)
    with counted(model.model) as calls:
        model.surprise([text.split() for text in TEXTS])
    return calls


ASKING: dict[str, tuple[Callable[[World], Calls], int]] = {
    "bki": (of_victim(lambda world: BKI()._tops(world.victim.trained.scorer(), TEXTS)), 5),
    "onion": (onion, 5),
    "cube": (of_victim(lambda world: first_token_vectors(world.victim.trained.scorer(), TEXTS, pooled=True)), 10),
    "strip": (of_victim(lambda world: STRIP()._entropies(world.victim, TEXTS, [["film", "story"]])), 10),
    "rap": (of_victim(lambda world: prompted(world)), 10),
}


def prompted(world: World) -> object:
    asked = Prompted(world.victim.trained.scorer(), "mn")
    return asked.prompted(TEXTS, asked.original())


@pytest.mark.parametrize("name", sorted(ASKING))
def test_many_rows_go_through_the_model_in_one_call(name: str, world: World) -> None:
    asking, times = ASKING[name]
    calls = asking(world)
    assert calls.rows >= 40  # the same text twice is asked about once
    assert calls.rows >= times * calls.calls
