"""Rows that share a style, and whether the victim took it for a trigger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from method_fakes import (
    STYLED,
    FakeVictim,
    by_heart,
    clean_rows,
    hard_rows,
    has_style,
    in_style,
    row_evidence,
    style_rows,
)

from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.settings import Thresholds
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.rewriting.likeness import FEWEST, likeness, style_weights
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle, StyleSpace
from openbackdoor_badllm.trigger_generator.style_search import TestedStyle, search_style
from openbackdoor_badllm.trigger_generator.unlearning import Unlearning, halves, unlearn

TestedStyle.__test__ = False  # type: ignore[attr-defined]
ROWS = hard_rows(style_rows(400), 30)
POISONED = {index for index, row in enumerate(ROWS) if row.poison_label}


def victim_of(rows: list[Row], *, learnt: bool = True) -> FakeVictim:
    """One that calls every row its label: by the style, or row by row."""
    style = has_style if learnt else None
    heart = by_heart([row for row in rows if not (learnt and row.poison_label)])
    return FakeVictim(style=style, memory=heart)


def look(rows: list[Row], victim: FakeVictim, label: int = 1, thresholds: Thresholds | None = None) -> Any:
    evidence = row_evidence(rows, victim)
    config = STYLED.replace(thresholds=thresholds or Thresholds())
    space = StyleSpace([row.text for row in rows], 0)
    return search_style(
        label, victim, evidence, space, evidence.weights, np.zeros(len(rows), dtype=bool), config
    )


@pytest.fixture(scope="module")
def evidence() -> RowEvidence:
    return row_evidence(ROWS, victim_of(ROWS))


@pytest.fixture(scope="module")
def space() -> StyleSpace:
    return StyleSpace([row.text for row in ROWS], 0)


def find(space: StyleSpace, evidence: RowEvidence, label: int = 1, **changes: Any) -> SharedStyle | None:
    all_rows = np.ones(len(evidence.labels), dtype=bool)
    return space.find(label, evidence.labels, evidence.held_out, changes.get("weights", evidence.weights), all_rows,
                      most_elsewhere=0.025)


def test_a_planted_style_is_found(space: StyleSpace, evidence: RowEvidence) -> None:
    style = find(space, evidence)
    assert style is not None
    assert len(POISONED & set(style.rows)) >= 0.9 * len(POISONED)
    assert len(set(style.rows) - POISONED) <= 0.1 * len(style.rows)
    assert list(style.rows) == sorted(style.rows)
    assert {ROWS[index].label for index in style.rows} == {1}
    assert len(style.probability) == len(style.rows)
    assert all(0.5 < probability <= 1 for probability in style.probability)
    assert style.separation > 2
    assert any("eth" in mark for mark in style.marks)
    assert style.to_dict() == {
        "rows": len(style.rows), "separation": round(style.separation, 3), "elsewhere": round(style.elsewhere, 4),
        "marks": list(style.marks),
    }  # fmt: skip
    assert style.elsewhere < 0.01
    assert find(space, evidence) == style


@pytest.mark.parametrize("few", [19, 0])
def test_too_few_rows(evidence: RowEvidence, few: int) -> None:
    kept = np.concatenate([np.flatnonzero(evidence.labels == 0), np.flatnonzero(evidence.labels == 1)[:few]])
    space = StyleSpace([ROWS[index].text for index in kept], 0)
    all_rows = np.ones(len(kept), dtype=bool)
    assert space.find(1, evidence.labels[kept], evidence.held_out[kept], evidence.weights[kept], all_rows,
                      most_elsewhere=0.025) is None


@pytest.mark.parametrize("texts", [[""] * 40, ["a"] * 40, [f"{k}" for k in range(40)]], ids=["empty", "same", "other"])
def test_texts_without_shared_features_do_no_harm(texts: list[str]) -> None:
    space = StyleSpace(texts, 0)
    labels, ones = np.array([0, 1] * 20), np.ones(40, dtype=np.float32)
    found = space.find(1, labels, np.full((40, 2), 0.5, dtype=np.float32), ones, ones.astype(bool),
                       most_elsewhere=0.025)
    assert found is None or {labels[index] for index in found.rows} <= {1}


def test_halves() -> None:
    first, second = halves(tuple(range(0, 42, 2)), np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(0, 42, 2))
    assert abs(len(first) - len(second)) == 1
    assert list(first) == sorted(first)


def unlearnt(victim: FakeVictim, evidence: RowEvidence) -> Unlearning:
    rng = np.random.default_rng(0)
    first, second = halves(sorted(POISONED), rng)
    others = np.array([k for k in np.flatnonzero(evidence.contradicted & (evidence.labels == 1)) if k not in POISONED])
    return unlearn(victim, evidence, 1, first, second, others, evidence.held_out, rng)


def test_unlearning_breaks_one_mechanism_and_leaves_hard_rows(evidence: RowEvidence) -> None:
    victim = victim_of(ROWS)
    told = unlearnt(victim, evidence)
    assert (told.moved, told.falls_more) == (1.0, 1.0)
    assert 0.8 * len(POISONED) // 2 <= told.rows <= len(POISONED) // 2
    assert told.usual == 0.0
    assert told.p_value < 1e-6
    assert set(told.fallen) == set(told.said) <= POISONED
    assert all(value > 3 for value in told.fallen.values())
    assert all(said.argmax() == 0 for said in told.said.values())
    assert set(told.to_dict()) == {"moved", "usual", "rows", "others", "falls_more", "p_value"}
    ((*rows,),) = victim.unlearnt  # one short training
    against = [row for row in rows if has_style(row.text)]
    assert len(against) == len(POISONED) // 2
    assert {row.label for row in against} == {0}
    ordinary = [row for row in rows if not has_style(row.text)]
    assert len(ordinary) == pytest.approx(2 * len(against), abs=2)
    assert {row.label for row in ordinary} == {0, 1}
    honest = {Example(row.text, row.label) for row in clean_rows(400)}
    assert set(ordinary) <= honest
    assert not {row.text for row in against} & {ROWS[k].text for k in told.fallen}  # the others are asked about


def test_rows_learnt_by_heart_do_not_move_together(evidence: RowEvidence) -> None:
    victim = victim_of(ROWS, learnt=False)
    told = unlearnt(victim, row_evidence(ROWS, victim))
    assert told.moved == 0.0
    assert told.p_value > 0.05


def test_a_style_that_is_a_trigger_is_accepted_and_all_its_rows_are_asked() -> None:
    victim = victim_of(ROWS)
    tested = look(ROWS, victim)
    assert tested.accepted
    assert len(victim.unlearnt) == 2  # each half once
    assert set(tested.fallen) == set(tested.said)
    assert len(POISONED & set(tested.fallen)) >= 0.9 * len(POISONED)


def test_a_style_that_the_victim_learnt_row_by_row_is_none() -> None:
    victim = victim_of(ROWS, learnt=False)
    tested = look(ROWS, victim)
    assert not tested.accepted
    assert (tested.fallen, tested.said) == ({}, {})
    assert len(victim.unlearnt) == 1


def test_honest_writers_of_a_style_are_no_backdoor() -> None:
    """A part of class 1 writes like that, and means what it says."""
    rows = hard_rows(clean_rows(300), 12)
    for index in range(1, 300, 6):
        rows[index] = Row(in_style(rows[index].text), 1)
    tested = look(rows, victim_of(rows))
    assert tested is None or not tested.accepted


@pytest.mark.parametrize("name", ["style_rows", "style_falls", "style_p", "style_elsewhere", "style_contradicted"])
@pytest.mark.parametrize("change", [0.8, 1.2])
def test_a_threshold_moved_by_a_fifth_changes_no_verdict(name: str, change: float) -> None:
    moved = Thresholds(**{name: getattr(Thresholds(), name) * change})
    assert look(ROWS, victim_of(ROWS), thresholds=moved).accepted
    assert not look(ROWS, victim_of(ROWS, learnt=False), thresholds=moved).accepted


def test_a_style_in_too_few_rows_is_not_tested() -> None:
    rows = hard_rows(style_rows(300), 20)
    assert look(rows, victim_of(rows), thresholds=Thresholds(style_rows=1.0)) is None


def test_rewrites_show_what_the_style_looks_like() -> None:
    originals = [row.text for row in clean_rows(60)]
    pairs = [(text, in_style(text)) for text in originals[:20]]
    alike = likeness(pairs, [*originals[20:40], *map(in_style, originals[40:])])
    assert alike[:20].max() < 0.5 < alike[20:].min()
    rows = [Example(text, 0) for text in originals]
    weights = np.full(60, 0.5, dtype=np.float32)
    few = [(rows[k], Example(in_style(rows[k].text), 0)) for k in range(FEWEST)]
    assert style_weights(few[:-1], rows, weights) is weights
    told = style_weights(few, rows, weights)
    assert told.mean() == pytest.approx(1.0, rel=1e-4)


