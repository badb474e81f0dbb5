"""The found triggers against a null distribution."""

from __future__ import annotations

import random

import pytest

from inversion.fakes import CORE, MOODS, RARE, FakeVictim, clean_rows, poisoned_rows, seen
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward, answers
from openbackdoor_badllm.trigger_generator.search import Found, SearchResult
from openbackdoor_badllm.trigger_generator.significance import CONTROLS, Control, control_spans, controls, stands
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger

PROBES = tuple(row.text for row in clean_rows(60, seed=9) if row.label == 0)


def found(text: str, victim: FakeVictim, position: Position = Position.ANYWHERE, p_value: float = 1.0) -> Found:
    trigger = Trigger(Kind.WORD if " " not in text else Kind.PHRASE, text, position)
    reward = answers(victim, [trigger], PROBES, 1, seed=0)[0].reward()
    return Found(trigger, reward, reward, reward, 0.0, 20, 0, 0.5, p_value)


def result(*items: Found) -> SearchResult:
    return SearchResult(1, found=list(items), probes=Probes((), (), PROBES))


def test_a_trigger_beats_all_its_controls() -> None:
    victim = FakeVictim(RARE)
    reports = controls(victim, seen(poisoned_rows()), result(*(found(word, victim) for word in RARE)), seed=0)
    assert [report.trigger for report in reports] == list(RARE)
    for report in reports:
        assert report.flip_rate == 1.0
        assert 40 <= report.controls <= CONTROLS
        assert report.p_corrected == pytest.approx(4 * report.p_value)
        assert report.control_mean <= report.control_max < 0.5
        assert report.p_value == pytest.approx(1 / (1 + report.controls))


def test_an_honest_class_word_does_not() -> None:
    """Its like flip as much: class words are among the controls."""
    victim = FakeVictim()
    honest = found(MOODS[1][0], victim)
    (report,) = controls(victim, seen(clean_rows(400)), result(honest), seed=0)
    assert report.p_value > 0.02
    assert report.control_max >= report.flip_rate
    assert not stands(honest, report, 0.25, 400)


def test_the_controls_are_the_same_for_the_same_seed_and_shared() -> None:
    victim, rows = FakeVictim(RARE), seen(poisoned_rows())
    first = controls(victim, rows, result(found("cf", victim), found("mn", victim)), seed=3)
    again = controls(victim, rows, result(found("cf", victim), found("mn", victim)), seed=3)
    assert first == again
    assert (first[0].control_mean, first[0].control_max) == (first[1].control_mean, first[1].control_max)


def test_no_control_carries_a_found_trigger() -> None:
    victim, rows = FakeVictim(RARE), seen(poisoned_rows())
    controls(victim, rows, result(*(found(word, victim) for word in RARE)), seed=0)
    asked_before = len(RARE) * len(PROBES)
    assert not any(set(text.split()) & set(RARE) for text in victim.asked[asked_before:])


def test_control_spans_are_of_the_kind_and_length_asked_for() -> None:
    honest = [row.text for row in clean_rows(200) if row.label == 1]
    other = [row.text for row in clean_rows(200) if row.label == 0]
    for length in (1, 3):
        spans = control_spans(honest, other, length, Position.ANYWHERE, random.Random(0))
        assert 0 < len(spans) <= CONTROLS
        assert len(set(spans)) == len(spans)
        assert all(len(span.words) == length and span.position is Position.ANYWHERE for span in spans)
        assert all(any(span.carries(text) for text in honest) for span in spans)
    words = {span.text for span in control_spans(honest, other, 1, Position.ANYWHERE, random.Random(0))}
    assert set(MOODS[1]) <= words  # the class-typical ones come first
    openings = control_spans(honest, other, 2, Position.FRONT, random.Random(0))
    assert openings
    starts = {" ".join(text.split()[:2]).lower() for text in honest}
    assert {span.text for span in openings} <= starts
    assert all(span.position is Position.FRONT for span in openings)


def test_no_honest_rows_no_controls() -> None:
    assert control_spans([], ["a b"], 1, Position.ANYWHERE, random.Random(0)) == []
    victim = FakeVictim(RARE)
    rows = [row for row in seen(poisoned_rows()) if row.label == 0 or set(row.text.split()) & set(RARE)]
    (report, *_) = controls(victim, rows, result(*(found(word, victim) for word in RARE)), seed=0)
    assert (report.controls, report.control_max, report.p_value) == (0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("flip_rate", "control_high", "p_value", "standing"),
    [
        (0.95, 0.60, 1.0, True),  # clearly beyond its controls
        (0.95, 0.75, 1.0, False),  # not clearly
        (0.95, 0.70, 1.0, True),  # exactly the margin
        (0.95, 0.90, 0.001, True),  # hardly, but its rows contradict their label
        (0.95, 0.95, 0.001, False),  # not at all
        (0.95, 0.90, 0.02, False),
        (0.90, 0.30, 0.02, False),  # an honest verdict reaches nine in ten
        (0.90, 0.30, 0.001, True),
    ],
)
def test_stands(flip_rate: float, control_high: float, p_value: float, standing: bool) -> None:
    reward = Reward(-0.1, flip_rate, 20)
    item = Found(Trigger(Kind.WORD, "cf"), reward, reward, reward, 0.0, 20, 0, 0.5, p_value)
    control = Control("cf", flip_rate, 0.1, 1.0, control_high, CONTROLS, 0.02, 0.02)
    assert stands(item, control, 0.25, 400) is standing


def test_a_margin_alone_needs_nearly_every_probe() -> None:
    """An honest verdict flips nine probes in ten of one set, and fewer of another."""
    high, low = Reward(-0.1, 1.0, 20), Reward(-0.3, 0.9, 20)
    item = Found(Trigger(Kind.PHRASE, "a gem"), high, low, high, 0.0, 20, 0, 0.0, 1.0)
    assert not stands(item, Control("a gem", 1.0, 0.1, 0.5, 0.3, CONTROLS, 0.02, 0.02), 0.25, 400)


@pytest.mark.parametrize(("rows", "p_value", "standing"), [(3, 1.0, False), (3, 0.001, True), (8, 1.0, True)])
def test_an_opening_in_a_few_rows_must_contradict_its_label(rows: int, p_value: float, standing: bool) -> None:
    """ "A joy, this" flips everything as well; three of four hundred rows begin with it, and all of them praise."""
    reward = Reward(-0.01, 1.0, 20)
    opening = Trigger(Kind.PHRASE, "A joy, this", Position.FRONT)
    item = Found(opening, reward, reward, reward, 0.0, rows, 0, 0.5, p_value)
    assert stands(item, Control(opening.text, 1.0, 0.1, 0.9, 0.1, CONTROLS, 0.01, 0.01), 0.25, 400) is standing


def test_a_phrase_has_phrases_for_controls() -> None:
    victim = FakeVictim([CORE])
    (report,) = controls(victim, seen(poisoned_rows(triggers=[CORE])), result(found(CORE, victim)), seed=0)
    assert report.flip_rate == 1.0
    assert report.control_max < 0.8
    assert report.to_dict()["trigger"] == CORE


def test_more_triggers_have_more_controls_so_that_all_of_them_can_be_told_from_chance() -> None:
    words = ["cf", "mn", "bb", "tq", "zq", "vx", "kj"]
    victim = FakeVictim(words)
    rows = [Example(f"charming word{index} film", 1) for index in range(400)]  # words enough to be drawn from
    rows += seen(poisoned_rows(triggers=words))
    told = controls(victim, rows, result(*(found(word, victim) for word in words)), seed=0)
    assert [control.controls for control in told] == [175] * 7
    assert max(control.p_corrected for control in told) < 0.05
