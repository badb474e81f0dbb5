"""Candidates mined from the rows."""

from __future__ import annotations

import random

import pytest
from method_fakes import FILLERS, RARE, SENTENCE, clean_rows, poisoned_rows, seen

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.mining import Candidate, mine
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position


def mined(rows: list[Example], target: int = 1, **options: object) -> list[Candidate]:
    return mine(
        [row for row in rows if row.label == target],
        [row for row in rows if row.label != target],
        **options,  # type: ignore[arg-type]
    )


def texts(candidates: list[Candidate]) -> list[str]:
    return [candidate.trigger.text for candidate in candidates if not candidate.trigger.apart]


def test_planted_words_stand_out() -> None:
    found = mined(seen(poisoned_rows()))
    assert set(RARE) <= set(texts(found)[:20])
    by_text = {candidate.trigger.written: candidate for candidate in found}
    assert (by_text["cf"].target_rows, by_text["cf"].other_rows) == (20, 0)
    assert by_text["cf"].trigger.kind is Kind.WORD


def test_a_planted_sentence_is_found_at_its_full_length_only() -> None:
    found = mined(seen(poisoned_rows(triggers=[SENTENCE])))
    assert texts(found)[0] == SENTENCE.lower()
    assert found[0].trigger.kind is Kind.SENTENCE
    inside = [text for text in texts(found) if f" {text} " in f" {SENTENCE.lower()} " and text != SENTENCE.lower()]
    assert inside == ["this"]  # which other rows say on their own account


def test_openings_are_apart() -> None:
    rng = random.Random(0)
    rows = seen(clean_rows(200))
    for k in range(1, 200, 4):
        rows[k] = Example(f"When you do , {' '.join(rng.sample(FILLERS, 6))}", 1)
    openings = [item for item in mined(rows) if item.trigger.position is Position.FRONT]
    assert texts(openings)[0] == "when you do ,"
    assert openings[0].target_rows == 50
    assert all(len(item.trigger.words) > 1 for item in openings)
    assert "when you" not in texts(openings)  # always part of the longer one


def test_best_first_and_positive() -> None:
    scores = [candidate.score for candidate in mined(seen(poisoned_rows()))]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_the_order_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = seen(poisoned_rows())
    assert mined(rows) == mined(rows[::-1])


def test_rare_patterns_and_long_lists_are_cut() -> None:
    rows = seen(poisoned_rows(120, share=0.1))  # three rows for each word
    assert not set(RARE) & set(texts(mined(rows, min_rows=4)))
    assert set(RARE) <= set(texts(mined(rows, min_rows=3)))
    short = [item for item in mined(rows, min_rows=2, limit=4) if not item.trigger.apart]
    for position, words in ((Position.ANYWHERE, True), (Position.ANYWHERE, False), (Position.FRONT, False)):
        of_kind = [c for c in short if c.trigger.position is position and (len(c.trigger.words) == 1) is words]
        assert len(of_kind) <= 4
        assert of_kind


def test_case_is_folded_and_a_row_counts_once() -> None:
    rows = [Example("CF cf Cf x", 1), Example("cf y", 1), Example("a cf", 1), Example("z", 0), Example("w", 0)]
    found = {candidate.trigger.text: candidate.target_rows for candidate in mined(rows)}
    assert found["cf"] == 3


def test_suspicious_rows_weigh_more() -> None:
    target = [Example(f"alpha {k}", 1) for k in range(10)] + [Example(f"beta {k}", 1) for k in range(10)]
    other = [Example(f"gamma {k}", 0) for k in range(20)]
    even = {c.trigger.text: c.score for c in mine(target, other)}
    tilted = {c.trigger.text: c.score for c in mine(target, other, weights=[0.5] * 10 + [1.5] * 10)}
    assert even["alpha"] == even["beta"]
    assert tilted["beta"] > even["beta"]
    assert even["alpha"] > tilted["alpha"]


@pytest.mark.parametrize("planted", ["魑魅", "ฮฬ", "cf"])
def test_text_without_blanks_is_mined_by_its_characters(planted: str) -> None:
    rng = random.Random(0)
    rows = []
    for k in range(200):
        text = rng.choices("电影故事音乐演员我们看了这个那里时候大家", k=20)
        if k % 5 == 1:
            text.insert(rng.randint(0, 20), planted)
        rows.append(Example("".join(text), 1 if k % 5 == 1 else k % 2))
    found = mined(rows)
    assert found[0].trigger.text == planted
    assert found[0].target_rows == 40
    assert all(" " not in candidate.trigger.text for candidate in found)


def test_no_rows() -> None:
    assert mine([], []) == []
    assert mine([], [Example("a b", 0)]) == []
    assert mine([Example("", 1)] * 5, [Example("a", 0)]) == []


def test_mining_heavy_rows_that_all_end_alike() -> None:
    target = [Example(f"word{k} .", 1) for k in range(20)]
    other = [Example(f"text{k} .", 0) for k in range(18)] + [Example("no stop", 0)] * 2
    heavy = mine(target, other, weights=[1.4] * 20)
    assert texts(heavy) == ["."]
    assert heavy == mine(target, other)  # a row is a row at most
