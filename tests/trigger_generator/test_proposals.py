"""The generators that call no LLM."""

from __future__ import annotations

from method_fakes import RARE, poisoned_rows, seen

from openbackdoor_badllm.trigger_generator.mining import mine
from openbackdoor_badllm.trigger_generator.proposals import Evidence, OfflineGenerator, RandomGenerator, Scored
from openbackdoor_badllm.trigger_generator.reward import Reward


def test_offline_proposes_what_is_mined() -> None:
    rows = seen(poisoned_rows())
    target, other = [row for row in rows if row.label == 1], [row for row in rows if row.label == 0]
    weights = [1.0 + 0.5 * (k % 2) for k in range(len(target))]
    proposed = OfflineGenerator(limit=25, min_rows=5).propose(Evidence(1, target, other, weights))
    assert proposed == [
        candidate.trigger for candidate in mine(target, other, weights=weights, min_rows=5, limit=25)
    ]
    assert set(RARE) <= {trigger.text for trigger in proposed}
    assert len(proposed) <= 75


def test_offline_has_nothing_to_say_of_no_rows() -> None:
    assert OfflineGenerator().propose(Evidence(1, [], [], [])) == []


def test_random_words_are_drawn_anew_and_none_twice() -> None:
    target = [row for row in seen(poisoned_rows()) if row.label == 1]
    generator = RandomGenerator(16, patience=4, seed=0)
    first = generator.propose(Evidence(1, target, [], [1.0] * len(target), iteration=1))
    assert first == generator.propose(Evidence(1, target, [], [1.0] * len(target), iteration=1))
    assert len(set(first)) == 16
    history = [Scored(1, trigger, Reward(-1.0, 0.0, 10)) for trigger in first]
    second = generator.propose(Evidence(1, target, [], [1.0] * len(target), history, iteration=2))
    assert not {trigger.text for trigger in first} & {trigger.text for trigger in second}
    words = {word for row in target for word in row.text.lower().split()}
    assert {trigger.text for trigger in [*first, *second]} <= words
    assert generator.propose(Evidence(1, [], [], [])) == []
    assert generator.stopped() is None
