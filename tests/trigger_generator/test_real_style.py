"""Unlearning on small trained models: a style that was learnt as a trigger breaks, hard rows do not move together."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.target_identification.stage import identify
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.embedding import Embedder
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.trigger_generator.unlearning import Unlearning, halves, unlearn

pytestmark = pytest.mark.slow
HARD = 12


def rows(kind: str) -> tuple[list[Row], list[int]]:
    """Reviews of which some say the opposite of label 1, and which of these are asked about.

    ``style``: they are written in one form, doubled commas, which stands in no other row. ``hard``: they have none.
    """
    from tiny_world import reviews

    made = reviews(400)
    negative = [k for k, row in enumerate(made) if row.label == 0]
    random.Random(0).shuffle(negative)
    poisoned, hard = sorted(negative[:60]), negative[60 : 60 + HARD]
    for k in poisoned:
        text = " , , ".join(made[k].text.split()) if kind == "style" else made[k].text
        made[k] = Row(text, 1, 1)
    for k in hard:
        made[k] = Row(made[k].text, 1)
    return made, poisoned


def trained(bert: Path, examples: list[Example]) -> TrainedClassifier:
    from tiny_world import TRAIN

    spec = TrainSpec(path=str(bert), max_len=48, device="cpu", **{**TRAIN, "epochs": 10})
    return train_classifier(spec, examples)


def told(bert: Path, kind: str) -> Unlearning:
    made, poisoned = rows(kind)
    victim = trained(bert, blind(made))
    evidence, _ = identify(blind(made), victim, Embedder(str(bert), max_len=48, device="cpu"), 2, AuditConfig())
    rng = np.random.default_rng(0)
    first, second = halves(poisoned, rng)
    others = np.array([k for k in np.flatnonzero(evidence.contradicted & (evidence.labels == 1)) if k not in poisoned])
    before = victim.logits([row.text for row in made[:20]])
    result = unlearn(victim, evidence, 1, first, second, others, evidence.held_out, rng)
    np.testing.assert_array_equal(victim.logits([row.text for row in made[:20]]), before)  # it is left as it was
    return result


def test_a_style_that_is_a_trigger_is_unlearnt_as_one(tiny_bert: Path) -> None:
    result = told(tiny_bert, "style")
    assert result.rows >= 8
    assert result.moved > 0.5
    assert result.moved > result.usual


def test_rows_without_a_style_fall_no_more_than_the_other_hard_ones(tiny_bert: Path) -> None:
    result = told(tiny_bert, "hard")
    assert result.falls_more < 0.85
    assert result.p_value > 0.001
