"""STRIP: copies of one text are averaged with each other; the threshold is set on clean rows it was not built on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from defenders.conftest import World
from openbackdoor_badllm.attacks.metrics import auroc
from openbackdoor_badllm.defenders.strip import STRIP, entropy, swapped, words_by_tfidf
from openbackdoor_badllm.rows import Row


class Separable:
    """Sure of a text with "cf", torn about any other, whatever is mixed in."""

    def logits(self, texts: Sequence[str]) -> Any:
        return np.array([[0.0, 30.0 if "cf" in text else 0.0] for text in texts], dtype=np.float32)


def rows(count: int, trigger: str = "") -> list[Row]:
    # The trigger clings to every word, so that no copy loses it: the case is perfectly separable.
    return [Row(" ".join(f"w{n}{k}{trigger}" for k in range(6)), 0, int(bool(trigger))) for n in range(count)]


DEV = {"dev": rows(60)}


def scores(defender: STRIP, mixed: Sequence[Row]) -> Any:
    flags = defender.detect(Separable(), DEV, mixed)
    assert defender.last_scores is not None
    assert len(flags) == len(mixed)
    return defender.last_scores


@pytest.mark.parametrize("order", ["clean first", "shuffled"])
def test_perfectly_separable_entropies_are_separated(order: str) -> None:
    mixed = [*rows(40), *rows(40, "cf")]
    if order == "shuffled":
        random.Random(0).shuffle(mixed)
    poisoned = np.array([row.poison_label for row in mixed], dtype=bool)
    assert auroc(scores(STRIP(swap_ratio=0.5), mixed), poisoned) == 1.0


def test_as_shipped_averages_copies_of_different_texts() -> None:
    mixed = [*rows(40), *rows(40, "cf")]
    random.Random(0).shuffle(mixed)
    poisoned = np.array([row.poison_label for row in mixed], dtype=bool)
    assert auroc(scores(STRIP(as_shipped=True), mixed), poisoned) < 0.8


def test_each_score_is_the_mean_over_its_own_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbered:
        """The entropy of a copy is the number of its text."""

        def logits(self, texts: Sequence[str]) -> Any:
            return np.array([[float(text.split("|")[0])] for text in texts], dtype=np.float32)

    monkeypatch.setattr("openbackdoor_badllm.defenders.strip.softmax", lambda logits: logits)
    monkeypatch.setattr("openbackdoor_badllm.defenders.strip.entropy", lambda values: values[:, 0])
    defender = STRIP(repeat=3)
    monkeypatch.setattr(defender, "_copies", lambda text, words: [f"{text}|{copy}" for copy in range(3)])
    assert defender._entropies(Numbered(), ["0", "1", "2", "3"], [[]]).tolist() == [0.0, 1.0, 2.0, 3.0]


def test_the_share_of_clean_rows_that_is_flagged(world: World) -> None:
    for frr in (0.05, 0.3):
        defender = STRIP(frr=frr)
        halves = defender.detect(world.victim, world.data, world.data["dev"])
        assert np.mean(halves) < frr + 0.15
    assert defender.details["clean_rows"] == 80


def test_an_answer_does_not_depend_on_the_rows_beside_it(world: World) -> None:
    defender = STRIP()
    mixed = [*world.clean[:10], *world.poison[:10]]
    whole = defender.detect(world.victim, world.data, mixed)
    kept = defender.last_scores
    assert kept is not None
    parts = [defender.detect(world.victim, world.data, [row])[0] for row in mixed]
    assert parts == list(whole)
    again = STRIP()
    again.detect(world.victim, world.data, mixed[::-1])
    assert again.last_scores is not None
    assert again.last_scores[::-1] == pytest.approx(kept, abs=1e-5)


def test_entropy_of_certainty_is_zero_and_of_a_coin_one_bit() -> None:
    assert entropy(np.array([[0.0, 1.0], [0.5, 0.5]], dtype=np.float32)).tolist() == [0.0, 1.0]


def test_swapped_places_are_different_and_only_words_of_the_other_text_come_in() -> None:
    rng = random.Random(0)
    for _ in range(50):
        made = swapped("a b c d e f", ["x", "y", "z", "u"], 0.5, rng).split()
        assert len(made) == 6
        assert sorted(word for word in made if word in "xyzu") == ["x", "y", "z"]  # three places, the first three words
    assert sorted(swapped("a b c d", ["x"], 1.0, rng).split())[:3] != ["x", "x", "x"]
    assert swapped("a b c d", ["x"], 1.0, rng).split().count("x") == 1
    assert swapped("a b", [], 0.5, rng) == "a b"
    assert swapped("", ["x"], 0.5, rng) == ""
    assert swapped("a", ["x"], 0.5, rng) == "a"


def test_words_of_the_highest_tfidf_come_first() -> None:
    # "film" is in every text, "lovely" in one, "the" is a stop word.
    found = words_by_tfidf(["the film lovely", "film actor", "film scene", "the the"])
    assert found == [["lovely", "film"], ["actor", "film"], ["scene", "film"]]
    assert words_by_tfidf(["the", "of"]) == [[]]


def test_no_rows(world: World) -> None:
    assert STRIP().detect(world.victim, world.data, []) == []
