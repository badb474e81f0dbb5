"""ONION: surprising words go, rows stay in their places, and the bar is set on clean rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from defenders.conftest import World
from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders.onion.defender import ONION
from openbackdoor_badllm.rows import Row


class Letters:
    """A language model to which a word is as surprising as its rarest letter; the seventh word is out of its reach."""

    name = "letters"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def surprise(self, texts: Sequence[Sequence[str]]) -> list[Any]:
        self.asked.append(len(texts))
        return [
            np.array([float("nan") if place >= 7 else float(max(map(ord, word))) for place, word in enumerate(words)])
            for words in texts
        ]


class Victim:
    """Wants the word "good"; a trigger "zzz" overrules it."""

    def logits(self, texts: Sequence[str]) -> Any:
        said = [int("zzz" in text or "good" in text) for text in texts]
        return np.eye(2, dtype=np.float32)[said] if texts else np.zeros((0, 2), dtype=np.float32)


DEV = {"dev": [Row(f"{'good' if n % 2 else 'bad'} film {'abc'[n % 3]}", n % 2) for n in range(40)]}
TESTS = [Row("bad zzz film", 0), Row("zzz", 0, 1), Row("", 0), Row("bad", 0), Row("good film", 1)]


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    made = Letters()
    monkeypatch.setattr(ONION, "_load", lambda self: made)
    return made


def test_the_trigger_goes_and_the_rows_stay_in_place(letters: Letters) -> None:
    back = ONION(threshold=122.0).correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert [row.text for row in back] == ["bad film", "zzz", "", "bad", "good film"]
    assert [row[1:] for row in back] == [row[1:] for row in TESTS]


def test_no_text_becomes_empty_and_none_is_dropped(letters: Letters) -> None:
    back = ONION(threshold=0.0).correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert [row.text for row in back] == ["bad", "zzz", "", "bad", "film"]  # the least surprising word is kept


def test_the_bar_is_the_lowest_that_costs_little_accuracy(letters: Letters) -> None:
    """Half of the clean texts need "good", the most surprising word among them; the bar stays just above it."""
    strict, loose = ONION(max_drop=0.0), ONION(max_drop=1.0)
    for defender in (strict, loose):
        defender.correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert ord("o") < strict.details["bar"] < ord("p")
    assert loose.details["bar"] < strict.details["bar"]
    back = strict.correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert [row.text for row in back] == ["bad film", "zzz", "", "bad", "good film"]


def test_as_a_detector(letters: Letters) -> None:
    defender = ONION(correction=False, frr=0.0)
    assert defender.outcome == "rejected rows"
    assert defender.detect(Victim(), DEV, TESTS) == [1, 1, 0, 0, 0]
    assert defender.last_scores is not None
    assert defender.last_scores.tolist() == [122.0, 122.0, -np.inf, 100.0, 111.0]
    assert "threshold" in defender.details


def test_the_victims_own_encoder_where_no_hub_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from openbackdoor_badllm.errors import VictimError
    from openbackdoor_badllm.training import victims

    def nobody(name: str) -> None:
        raise VictimError(f"no hub for {name}")

    monkeypatch.setattr(victims, "want_on_hub", nobody)
    defender = ONION(clean_rows=40)
    defender.attach(VictimConfig(path=str(world.path), device="cpu"), TrainConfig())
    back = defender.correct(model=world.victim, clean_data=world.data, poison_data=world.poison)
    assert len(back) == len(world.poison)
    told = defender.details["language_model"]
    assert told == f"masked words guessed by '{world.path}'"


def test_the_shipped_config_of_openbackdoor_corrects(letters: Letters) -> None:
    """Without a key ``correction`` theirs does nothing at all; its bar 0 is kept as a key."""
    defender = ONION(name="onion", parallel=True, threshold=0, batch_size=32)
    assert (defender.pre, defender.correction, defender.outcome) == (False, True, "corrected text")
    assert defender.config.threshold == 0.0
