"""The generator that calls no LLM."""

from __future__ import annotations

from inversion.fakes import RARE, poisoned_rows, seen
from openbackdoor_badllm.trigger_generator.mining import mine
from openbackdoor_badllm.trigger_generator.proposals import Evidence, OfflineGenerator


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
