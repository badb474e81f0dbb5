"""Fresh labels for flagged rows: what their texts say without the trigger."""

from __future__ import annotations

import numpy as np
import pytest
from method_fakes import RARE, FakeVictim, has_style, poisoned_rows, row_evidence, style_rows

from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.search_records import Found
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger
from openbackdoor_badllm.trigger_inversion.attribution import FlaggedRow, rows_with_triggers
from openbackdoor_badllm.trigger_inversion.relabelling import fresh_labels, relabel

NONE = Reward(0.0, 0.0, 0)


def flagged_mask(rows: list[FlaggedRow], count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[[row.index for row in rows]] = True
    return mask


@pytest.mark.parametrize(("classes", "target"), [(2, 1), (3, 2)])
def test_stolen_rows_get_their_own_label_back(classes: int, target: int) -> None:
    rows = poisoned_rows(300, classes=classes, target=target)
    victim = FakeVictim(RARE, target=target, num_labels=classes)
    evidence = row_evidence(rows, victim)
    found = [Found(Trigger(Kind.WORD, word), NONE, NONE, NONE, 0.0, 15, 0, 0.9, 1e-6, 0.0) for word in RARE]
    flagged = rows_with_triggers(victim, evidence.examples, target, found)
    labels = relabel(flagged, victim, evidence, target, flagged_mask(flagged, len(rows)), {})
    says = FakeVictim(num_labels=classes).logits([row.text_without for row in flagged]).argmax(axis=1)
    assert (labels == says).mean() > 0.95
    assert target not in labels


def style_flags(rows: list[Row], poisoned: bool) -> list[FlaggedRow]:
    return [
        FlaggedRow(k, (), row.text, 0.9, style=True) for k, row in enumerate(rows) if row.label == 1
        and bool(row.poison_label) == poisoned
    ]


def test_rows_of_a_style_get_what_models_without_it_say() -> None:
    """Honest rows of the style keep their label: no class shares are estimated for a style."""
    rows = style_rows(300)
    victim = FakeVictim(style=has_style)
    evidence = row_evidence(rows, victim)
    stolen, honest = style_flags(rows, True), style_flags(rows, False)[:20]
    mask = flagged_mask([*stolen, *honest], len(rows))
    labels = relabel([*stolen, *honest], victim, evidence, 1, mask, {})
    assert (labels[: len(stolen)] == 0).mean() > 0.95
    assert (labels[len(stolen) :] == 1).mean() > 0.95


def test_the_victim_that_has_unlearnt_the_style_is_heard() -> None:
    rows = style_rows(300)
    victim = FakeVictim(style=has_style)
    evidence = row_evidence(rows, victim)
    flagged = style_flags(rows, True)
    unlearnt = {row.index: np.array([0.0, 50.0], dtype=np.float32) for row in flagged[:5]}
    labels = relabel(flagged, victim, evidence, 1, flagged_mask(flagged, len(rows)), unlearnt)
    assert labels.tolist() == [1] * 5 + labels.tolist()[5:]
    assert (labels[5:] == 0).mean() > 0.9


def test_no_rows_no_labels() -> None:
    rows = poisoned_rows(60)
    victim = FakeVictim(RARE)
    assert relabel([], victim, row_evidence(rows, victim), 1, np.zeros(60, bool), {}).shape == (0,)


def answers(labels: list[int], accuracy: float, classes: int, seed: int) -> np.ndarray:
    """Logits of a model that is right so often, and not very sure of itself."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.3, (len(labels), classes)).astype(np.float32)
    for row, label in enumerate(labels):
        said = label if rng.random() < accuracy else (label + rng.integers(1, classes)) % classes
        logits[row, said] += 1.5
    return logits


@pytest.mark.parametrize(("classes", "target"), [(2, 1), (2, 0), (4, 2)])
def test_dirty_poison_gets_no_target_label_however_noisy_the_model(classes: int, target: int) -> None:
    """No flagged row is of the target class: every one that the model calls so is its mistake."""
    others = [label for label in range(classes) if label != target]
    truth = [others[k % len(others)] for k in range(120)]
    known = [k % classes for k in range(200)]
    logits = answers(truth, 0.85, classes, 0)
    assert (logits.argmax(axis=1) == target).any()
    labels = fresh_labels(logits, answers(known, 0.85, classes, 1), known, target)
    assert not (labels == target).any()
    assert (labels == truth).mean() > 0.8


def test_a_target_share_within_the_error_of_none_is_none() -> None:
    """The model errs a little more on the flagged rows than it did on the others, and is sure of it."""

    def said(labels: list[int], wrong: int, surely_wrong: int) -> np.ndarray:
        logits = np.zeros((len(labels), 2), dtype=np.float32)
        for row, label in enumerate(labels):
            mistaken = row < wrong
            sure = row < surely_wrong or (not mistaken and row % 3 > 0)
            logits[row, 1 - label if mistaken else label] = 6.0 if sure else 0.4
        return logits

    known = [0] * 50 + [1] * 50
    flagged = said([0] * 60, 10, 6)
    assert (flagged.argmax(axis=1) == 1).sum() == 10
    assert not fresh_labels(flagged, said(known, 7, 0), known, 1).any()


def test_clean_label_poison_keeps_its_label() -> None:
    known = [k % 2 for k in range(200)]
    labels = fresh_labels(answers([1] * 100, 0.85, 2, 0), answers(known, 0.85, 2, 1), known, 1)
    assert (labels == 1).mean() > 0.95


def test_half_and_half_is_left_to_the_model() -> None:
    known = [k % 2 for k in range(400)]
    truth = [k % 2 for k in range(100)]
    labels = fresh_labels(answers(truth, 0.95, 2, 0), answers(known, 0.95, 2, 1), known, 1)
    assert (labels == truth).mean() > 0.9


def test_fresh_labels_of_nothing_and_with_nothing_to_check_on() -> None:
    empty = np.zeros((0, 2), dtype=np.float32)
    assert fresh_labels(empty, answers([0, 1], 1, 2, 0), [0, 1], 1).shape == (0,)
    logits = np.array([[2.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    assert fresh_labels(logits, empty, [], 1).tolist() == [0, 1]
    assert fresh_labels(logits, logits, [0, 0], 1).tolist() == [0, 1]


def test_a_class_that_was_not_calibrated_on_is_not_given() -> None:
    known = [0, 2] * 60
    labels = fresh_labels(answers([0] * 50, 0.9, 4, 0), answers(known, 0.95, 4, 1), known, 2)
    assert set(labels.tolist()) <= {0, 2}


def test_a_second_model_counts_as_much_in_the_comparison_of_the_others() -> None:
    known = [k % 3 for k in range(300)]
    sure = np.zeros((300, 3), dtype=np.float32)
    sure[np.arange(300), known] = 3.0
    said = np.array([[1.0, 0.9, 0.0]] * 30 + [[0.9, 1.0, 0.0]] * 30, dtype=np.float32)
    assert fresh_labels(said, sure, known, 2).tolist() == [0] * 30 + [1] * 30
    beside = np.log(np.array([[0.05, 0.9, 0.05]] * 60, dtype=np.float32))
    assert set(fresh_labels(said, sure, known, 2, beside=beside).tolist()) == {1}
