"""A backdoored victim of the tiny world, trained once for all tests of the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openbackdoor_badllm.rows import Row


@dataclass
class World:
    """Rows of the tiny world with the word "cf" as trigger for label 1.

    Attributes:
        victim: trained on ``train``, seen as the built-in host's.
        path: folder of the pretrained model.
        train: a fifth of them poisoned.
        data: what a defender is handed as clean data: dev alone.
        clean: clean test rows.
        poison: triggered test rows, label 1.
    """

    victim: Any
    path: Path
    train: list[Row]
    data: dict[str, list[Row]]
    clean: list[Row]
    poison: list[Row]


def triggered(row: Row, place: int = 1) -> Row:
    words = row.text.split()
    return Row(" ".join([*words[:place], "cf", *words[place:]]), 1, 1)


@pytest.fixture(scope="session")
def world(tiny_bert: Path) -> World:
    from tiny_world import TRAIN, reviews

    from openbackdoor_badllm.rows import blind
    from openbackdoor_badllm.training.classifier import train_classifier
    from openbackdoor_badllm.training.spec import TrainSpec

    rows = reviews(320)
    train = [triggered(row) if row.label == 0 and index % 4 == 0 else row for index, row in enumerate(rows[:160])]
    spec = TrainSpec(path=str(tiny_bert), max_len=32, device="cpu", **TRAIN)
    trained = train_classifier(spec, blind(train))
    clean = rows[240:]
    victim = SimpleNamespace(trained=trained, logits=trained.logits)
    poison = [triggered(row) for row in clean if row.label == 0]
    return World(victim, tiny_bert, train, {"dev": rows[160:240]}, clean, poison)
