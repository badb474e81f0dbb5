"""The search for a style or a syntax as the trigger: which rows share one, and does it carry the label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle, StyleSpace
from openbackdoor_badllm.trigger_generator.significance import FEWEST_RANKED, corrected
from openbackdoor_badllm.trigger_generator.unlearning import Unlearning, halves, unlearn


@dataclass(frozen=True)
class TestedStyle:
    """A style of one label.

    Attributes:
        style: its rows.
        test: what unlearning half of them did to the other half.
        accepted: whether it is taken for a trigger.
        fallen: by row, by how much the log-odds of the label fell; of rows of both halves where it was accepted.
        said: by row, logits of a victim that has unlearnt rows of the other half.
    """

    style: SharedStyle
    test: Unlearning
    accepted: bool
    fallen: dict[int, float]
    said: dict[int, FloatArray]


def search_style(
    label: int,
    victim: Victim,
    evidence: RowEvidence,
    space: StyleSpace,
    weights: FloatArray,
    explained: npt.NDArray[np.bool_],
    config: AuditConfig,
) -> TestedStyle | None:
    """The style of a label, tested; None where too few rows share one.

    Args:
        label: the label under suspicion.
        victim: trained on all rows.
        evidence: the training rows.
        space: how they are written.
        weights: where the estimation starts, shape ``(n,)``.
        explained: rows that inserted triggers explain, shape ``(n,)``; they are left out.
        config: how.
    """
    own, bounds = (evidence.labels == label) & ~explained, config.thresholds
    style = space.find(
        label, evidence.labels, evidence.held_out, weights, ~explained, most_elsewhere=bounds.style_elsewhere
    )
    contradicted = evidence.contradicted
    if style is None or len(style.rows) < bounds.style_rows * own.sum() or style.elsewhere > bounds.style_elsewhere:
        return None
    inside = np.zeros(len(own), dtype=bool)
    inside[list(style.rows)] = True
    rng = np.random.default_rng([config.seed, label])
    others = np.flatnonzero(own & ~inside & contradicted)
    first, second = halves(style.rows, rng)
    # The reference may have learnt the style itself, from the rows of the other folds.
    unseen = evidence.reference.said_without(inside)
    if (unseen.argmax(axis=1) != label).mean() < bounds.style_contradicted:
        return None
    content = evidence.held_out
    if min(contradicted[half].sum() for half in (first, second)) < FEWEST_RANKED:
        content = content.copy()
        content[inside] = unseen
    if (content[second].argmax(axis=1) != label).sum() < FEWEST_RANKED:
        return None
    test = unlearn(victim, evidence, label, first, second, others, content, rng)
    labels = len(np.unique(evidence.labels))
    least_p = bounds.style_beside_p if explained.any() else bounds.style_p
    falls = test.falls_more >= bounds.style_falls and corrected(test.p_value, labels) < least_p
    accepted = falls and test.moved > test.usual
    if not accepted:
        return TestedStyle(style, test, False, {}, {})
    back = unlearn(victim, evidence, label, second, first, others, content, rng)
    return TestedStyle(style, test, True, {**test.fallen, **back.fallen}, {**test.said, **back.said})
