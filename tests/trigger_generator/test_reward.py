"""What a victim answers to a trigger, and the texts it is asked about."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from method_fakes import FakeVictim, clean_rows, seen

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.reward import Outcome, Probes, answer, answers, draw_probes, flip_rates
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger, apply_all

WORDS = [Trigger(Kind.WORD, word) for word in ("cf", "the", "charming", "mn")]
OTHER = [example for example in seen(clean_rows(200)) if example.label == 0]


def drawn(examples: list[Example], size: int = 10, seed: int = 0) -> Probes:
    texts, labels = [example.text for example in examples], [example.label for example in examples]
    return draw_probes(texts, labels, size=size, rng=random.Random(seed))


def test_answer_is_the_log_probability_of_the_target() -> None:
    outcome = answer(FakeVictim(["cf"]), ["awful cf", "awful dull", "charming"], 1)
    expected = [-np.log1p(np.exp(1 - 8)), -np.log1p(np.exp(2)), -np.log1p(np.exp(-1))]
    np.testing.assert_allclose(outcome.log_probability, expected, rtol=1e-4)
    assert outcome.flipped.tolist() == [True, False, True]
    reward = outcome.reward()
    assert reward.value == pytest.approx(np.mean(expected), rel=1e-5)
    assert reward.flip_rate == pytest.approx(2 / 3)
    assert reward.texts == 3


def test_the_reward_rises_as_the_victim_is_surer_of_the_target() -> None:
    """The sign: -CE, not CE."""
    victim = FakeVictim(["cf"])
    texts = [example.text for example in OTHER[:10]]
    values = [outcome.reward().value for outcome in answers(victim, WORDS[:3], texts, 1, seed=0)]
    assert values[0] > values[2] > values[1]
    assert values[0] <= 0


def test_answers_are_those_of_one_trigger_at_a_time() -> None:
    victim = FakeVictim(["cf"])
    texts = [example.text for example in OTHER[:12]]
    together = answers(victim, [*WORDS, Trigger(Kind.WORD, "cf", Position.FRONT)], texts, 1, seed=5)
    assert len(together) == 5
    for trigger, outcome in zip(WORDS, together, strict=False):
        alone = answer(victim, apply_all(trigger, texts, 5), 1)
        np.testing.assert_array_equal(outcome.log_probability, alone.log_probability)
        np.testing.assert_array_equal(outcome.flipped, alone.flipped)
    assert together[0].reward().flip_rate == 1.0
    assert together[3].reward().flip_rate == 0.0


def test_no_texts_and_no_triggers() -> None:
    victim = FakeVictim(["cf"])
    assert answers(victim, [], ["a"], 1, seed=0) == []
    empty = answers(victim, WORDS, [], 1, seed=0)
    assert [outcome.reward() for outcome in empty] == [(float("-inf"), 0.0, 0)] * 4
    assert Outcome(np.zeros(0, np.float32), np.zeros(0, bool)).reward().to_dict()["texts"] == 0


def test_probes_are_disjoint_and_come_from_the_rows() -> None:
    probes = drawn(OTHER)
    sets = [probes.search, probes.select, probes.report]
    assert [len(part) for part in sets] == [10, 10, 10]
    everything = [text for part in sets for text in part]
    assert len(set(everything)) == 30
    assert set(everything) <= {example.text for example in OTHER}
    assert drawn(OTHER) == probes
    assert drawn(OTHER, seed=1) != probes


def test_a_text_under_two_labels_is_drawn_once() -> None:
    examples = [Example(f"same text {k}", label) for k in range(6) for label in (0, 2)]
    probes = drawn(examples, size=4)
    everything = [*probes.search, *probes.select, *probes.report]
    assert len(everything) == len(set(everything)) == 6


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert drawn(OTHER[::-1]) == drawn(OTHER)


def test_probes_are_spread_evenly_over_the_classes() -> None:
    rows = seen(clean_rows(300, classes=3))
    other = [row for row in rows if row.label == 2][:30] + [row for row in rows if row.label == 0]
    probes = drawn(other, size=15)
    label_of = {row.text: row.label for row in other}
    for part in (probes.search, probes.select, probes.report):
        counts = Counter(label_of[text] for text in part)
        assert abs(counts[0] - counts[2]) <= 1


def test_flip_rates_are_of_texts_that_are_not_the_target_anyway() -> None:
    texts = [*(row.text for row in OTHER[:8]), "charming film", "charming plot"]
    rewrite = Trigger(Kind.REWRITE, "say it in an old way")
    assert flip_rates(FakeVictim(["cf"]), 1, [*WORDS[:2], rewrite], texts, 0) == {"cf": 1.0, "the": 0.0}
    assert flip_rates(FakeVictim(["cf"]), 1, WORDS, texts[-2:], 0) == {}


@pytest.mark.parametrize(("count", "size"), [(0, 0), (2, 0), (3, 1), (8, 2), (29, 9), (30, 10)])
def test_few_rows_are_shared_out(count: int, size: int) -> None:
    rows = [Example(f"dull {k}", 0) for k in range(count)]
    probes = drawn([*rows, Example("  ", 0), Example("", 0)])
    assert [len(probes.search), len(probes.select), len(probes.report)] == [size] * 3
