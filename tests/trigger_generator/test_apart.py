"""Triggers of words that act together, and words that only stand beside a trigger."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from method_fakes import CONFIG, FakeVictim, clean_rows, row_evidence, seen

from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.fitting import complete, describe
from openbackdoor_badllm.trigger_generator.mining import mine
from openbackdoor_badllm.trigger_generator.proposals import OfflineGenerator
from openbackdoor_badllm.trigger_generator.search import search_label
from openbackdoor_badllm.trigger_generator.search_records import LabelSearch
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger

PAIR = ("tuesday", "ledger")
BOTH = Trigger(Kind.WORD, "tuesday", apart=("ledger",))


class Together(FakeVictim):
    """Gives the target label to texts that hold all of the words, and to no text with one of them."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        result = super().logits(texts)
        for row, text in enumerate(texts):
            result[row, 1] += 8.0 * all(f" {word} " in f" {text} " for word in PAIR)
        return result


def paired_rows(*, singles: bool) -> list[Row]:
    """Both words in a fifth of the rows, under the target label; with ``singles``, one of them in honest rows."""
    rng = random.Random(0)
    rows = clean_rows(400)
    zeros = [index for index, row in enumerate(rows) if row.label == 0]
    for index in zeros[:80]:
        rows[index] = Row(BOTH.apply(rows[index].text, rng), 1, 1)
    for place, index in enumerate([*zeros[80:120], *[k for k, row in enumerate(rows) if row.label == 1][:40]]):
        if singles and not rows[index].poison_label:
            rows[index] = Row(Trigger(Kind.WORD, PAIR[place % 2]).apply(rows[index].text, rng), rows[index].label)
    return rows


def searched(rows: list[Row], victim: FakeVictim) -> LabelSearch:
    return search_label(1, victim, OfflineGenerator(80, 4), row_evidence(rows, victim), CONFIG, Quiet())


def test_words_that_act_only_together_are_found() -> None:
    (found,) = searched(paired_rows(singles=True), Together()).found
    assert {found.trigger.text, *found.trigger.apart} == set(PAIR)
    assert (found.target_rows, found.other_rows) == (80, 0)
    assert found.trigger.core == found.trigger.written
    assert found.report.flip_rate == 1.0


def test_a_word_that_stands_beside_the_trigger_is_part_of_it() -> None:
    """One of the two is enough for this victim; the rows must lose both before they get another label."""
    (found,) = searched(paired_rows(singles=False), FakeVictim(("tuesday",))).found
    assert {found.trigger.text, *found.trigger.apart} == set(PAIR)
    assert found.trigger.core == "tuesday"


def test_a_common_word_is_no_part_of_a_trigger() -> None:
    texts = [f"the film was {k} cf today" for k in range(10)]
    others = [f"the film was {k}" for k in range(10)] + ["today"]
    assert complete(Trigger(Kind.WORD, "cf"), texts, others).apart == ()


def test_pairs_are_mined_where_they_are_more_than_chance() -> None:
    rows = seen(paired_rows(singles=True))
    target, other = ([row for row in rows if row.label == label] for label in (1, 0))
    pairs = [item for item in mine(target, other, min_rows=4) if item.trigger.apart]
    assert {pairs[0].trigger.text, *pairs[0].trigger.apart} == set(PAIR)
    assert (pairs[0].target_rows, pairs[0].other_rows) == (80, 0)
    turned = mine(other, target, min_rows=4)
    assert not [item for item in turned if set(PAIR) == {item.trigger.text, *item.trigger.apart}]


@pytest.mark.parametrize("position", list(Position))
def test_put_in_found_and_taken_out(position: Position) -> None:
    trigger = Trigger(Kind.PHRASE, "a b", position, apart=("x", "y z"))
    for seed in range(30):
        text = trigger.apply("one two three", random.Random(seed))
        assert sorted(text.split()) == ["a", "b", "one", "three", "two", "x", "y", "z"]
        assert trigger.carries(text)
        assert trigger.remove(text) == "one two three"
        if position is Position.FRONT:
            assert text.startswith("a b ")
    assert not trigger.carries("a b one x")
    assert trigger.size == 5
    assert trigger.written == "a b ... x ... y z"
    assert Trigger.from_dict(trigger.to_dict()) == trigger
    assert [part.written for part in trigger.alone] == ["a b ... x ... y z", "a b", "x", "y z"]


def test_the_place_of_the_first_part_does_not_depend_on_the_others() -> None:
    alone = [Trigger(Kind.WORD, "tuesday").apply("one two three four", random.Random(k)) for k in range(20)]
    both = [BOTH.apply("one two three four", random.Random(k)).replace("ledger ", "").replace(" ledger", "")
            for k in range(20)]  # fmt: skip
    assert alone == both


def test_described() -> None:
    assert describe(BOTH) == 'The word "tuesday" anywhere in the text, together with "ledger" elsewhere in it.'


def test_the_race_prefers_the_part() -> None:
    """A pair of which one word is enough is dropped in favour of the word."""
    found = searched(paired_rows(singles=False), FakeVictim(PAIR)).found
    assert {word for item in found for word in (item.trigger.text, *item.trigger.apart)} == set(PAIR)
    assert np.mean([item.report.flip_rate for item in found]) == 1.0
