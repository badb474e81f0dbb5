"""The repaired model is audited: what the repaired rows share may move no label."""

from __future__ import annotations

import json
import random

import pytest
from method_fakes import FakeVictim, clean_rows, seen

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger
from openbackdoor_badllm.trigger_inversion.repair_check import (
    ASKED,
    RepairProbes,
    SharedPattern,
    agreement,
    counterexamples,
    draw_repair_probes,
    moved,
    planted,
    shared_patterns,
)

LEFT = "tuesday"  # a second word of the attacker, which the repair has left in the rows
CLEAN = seen(clean_rows(300))
RNG = random.Random(0)
FRESH = [
    Example(Trigger(Kind.WORD, LEFT).apply(row.text, RNG), 0) for row in seen(clean_rows(80, seed=1)) if row.label == 0
]


def probes() -> RepairProbes:
    return draw_repair_probes(FRESH, CLEAN, CLEAN, CLEAN[:100], random.Random(0))


def grown(before: FakeVictim, after: FakeVictim) -> dict[SharedPattern, float]:
    drawn = probes()
    return planted(moved(before, drawn, 0), moved(after, drawn, 0), 0.2)


def test_what_the_repaired_rows_share() -> None:
    patterns = shared_patterns(FRESH, CLEAN)
    assert (patterns[0].trigger.text, patterns[0].label) == (LEFT, 0)
    assert shared_patterns([row for row in CLEAN[:60] if row.label == 0], CLEAN[60:]) == []
    assert shared_patterns([], CLEAN) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (FakeVictim(), FakeVictim((LEFT,), target=0), [LEFT]),
        (FakeVictim(), FakeVictim(), []),
        (FakeVictim((LEFT,), target=0), FakeVictim((LEFT,), target=0), []),  # the repair has not done that
        (FakeVictim((LEFT,), target=1), FakeVictim((LEFT,), target=0), [LEFT]),
    ],
    ids=["planted", "clean", "known before", "turned round"],
)
def test_planted(before: FakeVictim, after: FakeVictim, found: list[str]) -> None:
    told = grown(before, after)
    assert [pattern.trigger.text for pattern in told] == found
    assert all(pattern.label == 0 and 0.2 <= grown <= 1 for pattern, grown in told.items())


def test_the_counterexamples_have_the_pattern_under_the_labels_of_the_texts() -> None:
    drawn = probes()
    found = grown(FakeVictim(), FakeVictim((LEFT,), target=0))
    rows = counterexamples(found, drawn, random.Random(0))
    assert rows
    assert all(LEFT in row.text.split() and row.label == 1 for row in rows)
    asked = {row.text for row in drawn.rows[0][:ASKED]}
    assert not asked & {Trigger(Kind.WORD, LEFT).remove(row.text) for row in rows}  # the check keeps its own texts


def test_as_json_and_back() -> None:
    drawn = probes()
    assert RepairProbes.from_dict(json.loads(json.dumps(drawn.to_dict()))) == drawn


def test_the_untouched_rows_are_those_that_no_fine_tuning_has_seen() -> None:
    drawn = probes()
    assert drawn.untouched
    assert not set(drawn.untouched) & set(CLEAN[:100])
    assert agreement(FakeVictim(), drawn) > 0.9
    assert agreement(FakeVictim(memory={row.text: 1 - row.label for row in drawn.untouched}), drawn) == 0
    assert agreement(FakeVictim(), RepairProbes()) == 1
