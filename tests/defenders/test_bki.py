"""BKI: keywords of the corpus, as many as there are, from a model without dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from defenders.conftest import World, triggered
from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders.bki.defender import BKI, keyword_scores, keywords, strongest
from openbackdoor_badllm.defenders.bki.leave_one_out import leave_one_out
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import blind
from openbackdoor_badllm.training.representations import first_token_vectors


def ready(world: World, **keys: Any) -> BKI:
    from tiny_world import TRAIN

    defender = BKI(**keys)
    defender.attach(VictimConfig(path=str(world.path), device="cpu", max_len=32), TrainConfig(**TRAIN))
    return defender


def test_a_one_word_trigger_is_found_exactly(world: World) -> None:
    defender = ready(world)
    kept = defender.correct(poison_data=world.train)
    assert next(iter(defender.details["keywords"])) == "cf"
    flags = np.array(defender.last_flags)
    poisoned = np.array([row.poison_label for row in world.train])
    assert flags[poisoned == 1].mean() > 0.95
    assert len(kept) == len(world.train) - flags.sum()
    assert [row for row, flag in zip(world.train, flags, strict=True) if not flag] == kept
    assert defender.last_scores is not None
    assert len(defender.last_scores) == len(world.train)
    # A second call begins anew.
    assert defender.correct(poison_data=world.train) == kept
    assert len(defender.last_flags or []) == len(world.train)


def test_the_model_is_asked_without_dropout(world: World) -> None:
    defender = ready(world)
    scorer = defender.train_own(blind(world.train))
    scorer.model.train()
    texts = [row.text for row in world.train[:5]]
    assert (first_token_vectors(scorer, texts) == first_token_vectors(scorer, texts)).all()
    assert scorer.model.training


def test_several_keywords() -> None:
    """Four triggers, a quarter of the poisoned rows each; one keyword would leave three quarters of them."""
    words = ("cf", "mn", "bb", "tq")
    tops = [{words[n % 4]: 2.0 + n % 4 / 100, "film": 0.3} for n in range(80)]
    tops += [{"film": 0.2, f"w{n}": 0.4, "dull": 0.3} for n in range(320)]
    assert set(keywords(tops, 10, 0.5)) == set(words)
    assert len(keywords(tops, 1, 0.5)) == 1
    assert set(keywords(tops, 2, 0.5)) <= set(words)


def test_as_shipped_takes_one(world: World) -> None:
    defender = ready(world, as_shipped=True)
    defender.correct(poison_data=world.train)
    assert len(defender.details["keywords"]) == 1


def test_scores_by_hand() -> None:
    tops = [{"a": 1.0, "b": 4.0}, {"a": 3.0}] * 5
    assert keyword_scores(tops) == pytest.approx({"a": np.log10(10) * 2.0, "b": np.log10(5) * 4.0})
    assert keywords([], 5, 0.5) == {}
    assert keywords([{}, {}], 5, 0.5) == {}
    assert keywords([{"a": 1.0}], 5, 0.5) == {}  # log10(1) = 0: one row makes no keyword


def test_strongest_counts_a_word_once() -> None:
    moved = np.array([0.1, 0.9, 0.5, 0.8])
    assert strongest(["a", "b", "a", "b"], moved, 2) == {"b": 0.9, "a": 0.5}
    assert strongest([], np.zeros(0), 5) == {}


def test_blocks_hold_every_text_once() -> None:
    texts = ["a b c", "", "d", "e f"]
    for size in (1, 3, 100):
        blocks = list(leave_one_out(texts, size))
        assert [words for block in blocks for words in block.words] == [["a", "b", "c"], [], ["d"], ["e", "f"]]
        made = [text for block in blocks for text in block.texts]
        assert made == ["a b c", "b c", "a c", "a b", "", "d", "", "e f", "f", "e"]
        for block in blocks:
            assert [block.texts[place].split() for place in block.offsets] == block.words
            assert texts[block.start].split() == block.words[0]


def test_odd_rows(world: World) -> None:
    rows = [*world.train, ("", 0, 0), (float("nan"), 1, 0)]
    assert len(ready(world).correct(poison_data=rows)) >= 2


@pytest.mark.parametrize("rows", [None, []])
def test_no_rows(rows: Any) -> None:
    with pytest.raises(DataError, match=r"^The defender 'bki' got no training rows\.$"):
        BKI().correct(poison_data=rows)


def test_a_label_outside_the_classes(world: World) -> None:
    with pytest.raises(DataError, match="A training row has the label 5, but the victim has classes 0 to 1"):
        ready(world, num_classes=2).correct(poison_data=[*world.train, ("x", 5, 0)])


def test_openbackdoors_keys_count_over_the_victims(world: World) -> None:
    theirs = {"warm_up_epochs": 0, "epochs": 10, "batch_size": 16, "lr": 2e-5, "num_classes": 3, "model_path": "x/y"}
    defender = BKI(name="bki", correction=True, model_name="bert", **theirs)
    defender.attach(VictimConfig(path="a/b", max_len=77), TrainConfig(epochs=1))
    assert (defender.victim.path, defender.victim.max_len, defender.victim.num_classes) == ("x/y", 77, 3)
    assert (defender.train.epochs, defender.train.batch_size, defender.train.lr) == (10, 16, 2e-5)
    plain = BKI()
    plain.attach(VictimConfig(path="a/b"), TrainConfig(epochs=1))
    assert (plain.victim.path, plain.train.epochs) == ("a/b", 1)


def test_the_world_has_what_the_tests_want(world: World) -> None:
    assert sum(row.poison_label for row in world.train) == 40
    assert triggered(world.clean[0]).text.split()[1] == "cf"
