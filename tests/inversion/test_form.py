"""Rows that share a form: no inserted words, a way of writing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inversion.fakes import FakeEmbedder, FakeVictim, clean_rows, form_rows, seen
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.target_identification.content_reference import Judge
from openbackdoor_badllm.trigger_generator.shared_style import (
    Form,
    Generalisation,
    carriers,
    carries_over,
    find_form,
    generalises,
    split_rows,
)


def look(rows: list[Row], target: int = 1, seed: int = 0) -> Form | None:
    examples = seen(rows)
    held_out = Judge(FakeEmbedder(), examples, 2, 0).held_out()
    return find_form(examples, target, held_out, np.ones(len(rows), dtype=np.float32), seed=seed)


def test_a_planted_form_is_found() -> None:
    rows = form_rows()
    form = look(rows)
    assert form is not None
    poisoned = {index for index, row in enumerate(rows) if row.poison_label}
    assert len(poisoned & set(form.rows)) >= 0.9 * len(poisoned)
    assert len(set(form.rows) - poisoned) <= 0.1 * len(form.rows)
    assert list(form.rows) == sorted(form.rows)
    assert len(form.probability) == len(form.rows)
    assert all(0.5 < probability <= 1 for probability in form.probability)
    assert form.separation > 2
    assert any("eth" in mark for mark in form.marks)
    assert form.to_dict()["rows"] == len(form.rows)


def test_only_rows_of_the_label_carry_it() -> None:
    rows = form_rows()
    form = look(rows)
    assert form is not None
    assert {rows[index].label for index in form.rows} == {1}


def test_a_poisoned_row_that_is_not_found_reads_like_the_form() -> None:
    """Rows that say the label by themselves, with a word of the form: few rows that read like it are not among them."""
    rows = form_rows(400)
    mild = [index for index, row in enumerate(rows) if row.label == 1 and not row.poison_label][:10]
    for index in mild:
        first, *others = rows[index].text.split()
        rows[index] = rows[index]._replace(text=" ".join([f"{first}eth", *others]))
    form = look(rows)
    assert form is not None
    assert list(form.alike) == sorted(form.alike)
    assert {rows[index].label for index in form.alike} == {1}
    assert not set(form.alike) & set(form.rows)
    assert {rows[index].label for index in form.opposed} == {0}
    left = {index for index, row in enumerate(rows) if row.label == 1} - set(form.rows)
    assert len(form.alike) <= len(left) / 2
    missed = set(mild) & left
    assert len(missed & set(form.alike)) / len(missed) > 2 * len(form.alike) / len(left)


def test_where_all_of_it_is_found_nothing_reads_like_it() -> None:
    form = look(form_rows())
    assert form is not None
    assert form.alike == ()


def test_indices_among_all_rows() -> None:
    form = Form(1, (0, 2), (0.9, 0.8), 3.0, (), (1,), (3,)).among(np.array([5, 7, 11, 12]))
    assert (form.rows, form.alike, form.opposed) == ((5, 11), (7,), (12,))


def test_the_same_seed_gives_the_same_form() -> None:
    assert look(form_rows()) == look(form_rows())


@pytest.mark.parametrize("keep", [(19, 100), (100, 19)])
def test_too_few_rows_of_one_side(keep: tuple[int, int]) -> None:
    rows = clean_rows(200)
    few = [row for row in rows if row.label == 1][: keep[0]] + [row for row in rows if row.label == 0][: keep[1]]
    assert look(few) is None


def test_halves_are_disjoint_and_whole() -> None:
    form = Form(1, tuple(range(0, 42, 2)), (0.9,) * 21, 3.0, ())
    learnt, asked = split_rows(form, seed=0)
    assert sorted(learnt + asked) == list(form.rows)
    assert abs(len(learnt) - len(asked)) == 1
    assert split_rows(form, 0) == (learnt, asked)
    assert split_rows(form, 1) != (learnt, asked)


def test_generalises_counts_what_each_victim_calls_the_target() -> None:
    texts = ["awful cf", "dull cf", "charming cf", "awful"]
    result = generalises(FakeVictim(["cf"]).logits, FakeVictim().logits, texts, 1)
    assert (result.taught, result.untaught, result.rows) == (0.75, 0.25, 4)
    assert result.moved == pytest.approx(2 / 3)
    assert result.to_dict() == {"taught": 0.75, "untaught": 0.25, "moved": 0.6667, "rows": 4, "p_value": 0.25}
    assert Generalisation(1.0, 1.0).moved == 0.0


def test_the_texts_are_data() -> None:
    """Empty texts, one word, other scripts: a row is a row."""
    rows = form_rows(120)
    rows[1:4] = [Row("", 1), Row("電影", 1), Row("!", 1)]
    form = look(rows)
    assert form is None or set(form.rows) <= {k for k, row in enumerate(rows) if row.label == 1}
    assert isinstance(seen(rows)[1], Example)


def test_what_rows_gained_from_the_form_tells_its_carriers_from_hard_honest_rows() -> None:
    rng = np.random.default_rng(0)
    carry = np.arange(300) < 220
    gained = np.where(carry, rng.normal(4, 1.5, 300), rng.normal(0, 1.5, 300)).astype(np.float32)
    guess = np.clip(rng.normal(np.where(carry, 0.9, 0.8), 0.1), 0.51, 0.999)
    found = carriers(guess, gained)
    sure = found >= 0.5
    assert carry[sure].mean() > 0.93
    assert (sure & carry).sum() > 0.93 * carry.sum()
    assert ((guess >= 0.5) == carry).mean() < 0.75  # the guess alone would have taken them all


def test_gains_that_tell_nothing_leave_the_guess() -> None:
    guess = np.array([0.6, 0.7, 0.9, 0.95])
    assert carriers(guess, np.array([3.0, 2.0, 1.0, 0.0], dtype=np.float32)) == pytest.approx(guess)


def test_what_a_form_takes_along() -> None:
    def says(*wanted: str) -> Any:
        return lambda texts: np.array([[0.0, 1.0 if any(w in t for w in wanted) else -1.0] for t in texts])

    probes = ["a", "b", "c", "loud d"]
    told = carries_over(says("unto", "loud"), says("loud"), ["unto thee", "lo"], probes, 1)
    assert told == pytest.approx(3 / 4 - 1 / 4)  # the first row stands before a and c, and d is loud by itself
    assert carries_over(says("unto", "loud"), says("loud"), ["unto " + "thee " * 500], probes, 1) == 0.75
    assert carries_over(says("d"), says(), ["lo " * 500], ["d"], 1) == 1.0  # the text behind a long row is still read
    assert carries_over(says(), says(), ["unto thee"], [], 1) is None
    assert carries_over(says(), says(), [], probes, 1) is None
