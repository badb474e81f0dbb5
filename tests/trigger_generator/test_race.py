"""The race: it ends with the best candidate after few forward passes."""

from __future__ import annotations

import random

import pytest
from method_fakes import FILLERS, MOODS, FakeVictim, clean_rows

from openbackdoor_badllm.trigger_generator.race import HEATS, HOPELESS, race
from openbackdoor_badllm.trigger_generator.reward import answers
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger, kind_of

PROBES = [row.text for row in clean_rows(160) if row.label == 0][:40]


def words(*texts: str) -> list[Trigger]:
    return [Trigger(kind_of(text), text) for text in texts]


def ordinary(count: int) -> list[Trigger]:
    rng = random.Random(0)
    return words(*dict.fromkeys(" ".join(rng.choices(FILLERS, k=rng.randint(1, 3))) for _ in range(2 * count)))[:count]


def test_the_best_wins_with_few_forwards() -> None:
    victim, field = FakeVictim(["cf"]), ordinary(200)
    field.insert(150, Trigger(Kind.WORD, "cf"))
    raced = race(victim, field, PROBES, 1, seed=0)
    assert raced.ranked[0][0].text == "cf"
    assert raced.ranked[0][1].flip_rate == 1.0
    bound = len(PROBES) + 2 * len(field) + 6 * 60 + 16 * 20 + len(PROBES) * 8
    assert 2 * len(field) < len(victim.asked) <= bound < 0.2 * len(field) * len(PROBES)
    assert len(raced.ranked) <= HEATS[-1][1]


def test_the_rewards_of_the_last_heat_are_of_all_probes() -> None:
    victim = FakeVictim(["cf", "mn"])
    raced = race(victim, [*words("cf", "mn"), *ordinary(30)], PROBES, 1, seed=3)
    assert {trigger.text for trigger, _ in raced.ranked[:2]} == {"cf", "mn"}
    for trigger, reward in raced.ranked:
        assert reward == answers(victim, [trigger], PROBES, 1, seed=3)[0].reward()
    values = [reward.value for _, reward in raced.ranked]
    assert values == sorted(values, reverse=True)


def test_the_losers_are_the_null_and_their_gains_are_small() -> None:
    field = [*words("cf", *MOODS[1]), *ordinary(60)]
    raced = race(FakeVictim(["cf"]), field, PROBES, 1, seed=0)
    assert len(raced.null) + len(raced.ranked) == len(field)
    assert len(raced.gains) == len(raced.ranked)
    assert raced.gains[0] > 2.0 > max(raced.null)


def test_a_hopeless_field_is_not_raced_on() -> None:
    victim = FakeVictim()
    raced = race(victim, ordinary(100), PROBES, 1, seed=0)
    assert max(reward.flip_rate for _, reward in raced.ranked) < HOPELESS
    assert {reward.texts for _, reward in raced.ranked} == {HEATS[-1][0]}
    assert len(victim.asked) <= len(PROBES) + 2 * 100 + 6 * 60 + 16 * 20


def test_a_part_that_does_as_well_stands_for_the_longer_ones() -> None:
    raced = race(FakeVictim(["cf"]), words("film cf", "cf film", "cf", "the"), PROBES, 1, seed=0)
    assert [trigger.text for trigger, reward in raced.ranked if reward.flip_rate > 0.5] == ["cf"]
    whole = race(FakeVictim(["no crown"]), words("no crown", "crown", "no", "no crown yet"), PROBES, 1, seed=0)
    assert whole.ranked[0][0].text == "no crown"
    opening = Trigger(Kind.PHRASE, "when you", Position.FRONT)
    front = race(FakeVictim(opening="when you"), [opening, *words("when you")], PROBES, 1, seed=0)
    assert front.ranked[0][0] == opening


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_few_probes(count: int) -> None:
    raced = race(FakeVictim(["cf"]), [*ordinary(10), *words("cf")], PROBES[:count], 1, seed=0)
    assert raced.ranked[0][0].text == "cf"
    assert raced.ranked[0][1].texts == count


def test_nothing_to_race() -> None:
    victim = FakeVictim()
    assert race(victim, [], PROBES, 1, seed=0) == race(victim, words("cf"), [], 1, seed=0) == ([], [], [])
    assert victim.asked == []
