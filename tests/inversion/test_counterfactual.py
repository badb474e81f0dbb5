"""A trigger on a victim that never saw its rows: an honest word keeps its force, an attacker's loses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from openbackdoor_badllm.inversion.counterfactual import ALIKE, DOUBTFUL, KNOWN, forces_kept, honest_words

from inversion.fakes import LOUD, FakeVictim
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.search_records import Found
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger

CF, HONEST = Trigger(Kind.WORD, "cf"), Trigger(Kind.WORD, LOUD)
PROBES = ("a dull film", "the plot is awful and stale", "a story")
HELD_OUT = np.array([[0.9, 0.1]] * 9 + [[0.1, 0.9]] * 11, dtype=np.float32)
OTHERS = [True] * 10 + [False] * 10  # nine of ten rows of label 0 are called so


def found(trigger: Trigger, contradicted: float) -> Found:
    sure = Reward(-0.1, 1.0, 20)
    return Found(trigger, sure, sure, sure, 0.0, 50, 0, contradicted, 0.0)


def test_forces() -> None:
    victim, untaught = FakeVictim(["cf"], loud=4.0), FakeVictim([], loud=3.0)
    kept = forces_kept(victim, untaught.logits, [CF, HONEST], PROBES, 1, 0)
    assert kept == {CF: pytest.approx(0.0, abs=1e-6), HONEST: pytest.approx(0.75)}
    assert victim.asked == untaught.asked  # the same texts, one pass each


def test_a_trigger_without_force_has_none_to_keep() -> None:
    victim = FakeVictim([], loud=0.0)
    assert forces_kept(victim, FakeVictim([], loud=3.0).logits, [HONEST], PROBES, 1, 0) == {HONEST: 0.0}


@pytest.mark.parametrize(("triggers", "probes"), [([], PROBES), ([CF], ())])
def test_nothing_to_ask_about(triggers: list[Trigger], probes: Any) -> None:
    def refuse(texts: Any) -> Any:
        raise AssertionError("asked")

    assert forces_kept(FakeVictim(), refuse, triggers, probes, 1, 0) == {}


@pytest.mark.parametrize(
    ("kept", "contradicted", "honest"),
    [
        (0.0, 0.1, False),
        (DOUBTFUL - 0.01, 0.1, False),
        (DOUBTFUL, 0.1, True),  # its rows read like the label's own
        (DOUBTFUL, ALIKE * 0.9 - 0.01, True),
        (DOUBTFUL, ALIKE * 0.9 + 0.01, False),  # its rows read like those of label 0
        (KNOWN - 0.01, 0.9, False),
        (KNOWN, 0.9, True),  # whatever its rows say
    ],
)
def test_who_is_honest(kept: float, contradicted: float, honest: bool) -> None:
    told = honest_words([found(CF, contradicted)], {CF: kept}, HELD_OUT, OTHERS, 1)
    assert told == ({CF: kept} if honest else {})


def test_an_opening_is_not_asked_about() -> None:
    opening = Trigger(Kind.PHRASE, "when it", Position.FRONT)
    assert honest_words([found(opening, 0.0)], {opening: 1.0}, HELD_OUT, OTHERS, 1) == {}


def test_without_rows_of_other_labels() -> None:
    assert honest_words([found(CF, 0.7)], {CF: 0.2}, HELD_OUT, [False] * 20, 1) == {CF: 0.2}
