"""Is a shared style the trigger: the victim unlearns half of the style's rows, and the other half is asked about.

A backdoor is one mechanism that its rows share. When the victim is trained a few steps on half of the rows under other
labels, beside ordinary rows under their own, the mechanism breaks, and the rows of the other half leave the label too.
Honest rows that are merely hard have no mechanism in common: they fall less. Only rows whose text contradicts the label
are compared, since these are hard on both sides. No victim is trained from the pretrained weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray, log_odds
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.significance import falls_more

UNLEARNT = 128  # rows of the style that are unlearnt at most
ASKED = 200  # rows of each group that are asked about at most
PASSES = 2  # through the unlearnt and the ordinary rows
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unlearning:
    """What unlearning half of some rows does to the others.

    Attributes:
        moved: share of the unseen contradicted rows of the style that leave the label.
        usual: share of the other contradicted rows of the label that leave it.
        rows: contradicted rows of the style that were asked about.
        others: the other contradicted rows that were.
        falls_more: chance that one of the first falls more in its log-odds than one of the second (AUROC).
        p_value: one-sided p-value (Mann-Whitney) of that chance, uncorrected.
        fallen: by row index, by how much the log-odds of the label fell, of rows that were asked about.
        said: by row index, the logits after the unlearning, of the same rows.
    """

    moved: float
    usual: float
    rows: int
    others: int
    falls_more: float
    p_value: float
    fallen: dict[int, float] = field(default_factory=dict, repr=False)
    said: dict[int, FloatArray] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "moved": round(self.moved, 4), "usual": round(self.usual, 4), "rows": self.rows, "others": self.others,
            "falls_more": round(self.falls_more, 4), "p_value": float(f"{self.p_value:.3g}"),
        }  # fmt: skip


def halves(rows: Sequence[int], rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Two random halves of some rows."""
    mixed = rng.permutation(np.asarray(rows, dtype=np.int64))
    middle = len(mixed) // 2
    return np.sort(mixed[:middle]), np.sort(mixed[middle:])


def unlearn(
    victim: Victim, evidence: RowEvidence, label: int, learnt: Indices, asked: Indices, others: Indices,
    content: FloatArray, rng: np.random.Generator,
) -> Unlearning:
    """Unlearns some rows and asks about others.

    Args:
        victim: trained on all rows.
        evidence: all rows.
        label: the label under suspicion.
        learnt: rows of the style, to be unlearnt.
        asked: other rows of the style.
        others: contradicted rows of the label outside the style: the comparison.
        content: what the texts say, shape ``(n, num_labels)``, to a reference that has not learnt the style.
        rng: source of the draws.
    """
    chosen = rng.permutation(learnt)[:UNLEARNT]
    away = content[chosen].copy()
    away[:, label] = -1.0
    unlearnt = [
        Example(evidence.examples[i].text, int(said)) for i, said in zip(chosen, away.argmax(axis=1), strict=True)
    ]
    excluded = np.concatenate([learnt, asked, others])
    kept = _ordinary(evidence, excluded, 2 * len(chosen), rng)
    further = [*unlearnt, *(evidence.examples[i] for i in kept)]
    after = victim.continued(further, epochs=PASSES, lr_share=0.5)
    style, usual = (
        _sample(part[evidence.said[part].argmax(axis=1) == label], rng) if len(part) else part
        for part in (asked, others)
    )
    texts = [evidence.examples[i].text for i in (*style, *usual)]
    said = after.logits(texts)
    rows = np.concatenate([style, usual]).astype(np.int64)
    fallen = log_odds(evidence.said[rows], label) - log_odds(said, label)
    left = said.argmax(axis=1) != label
    inside = np.arange(len(rows)) < len(style)
    hard = inside & (content[rows].argmax(axis=1) != label)
    chance, p_value = falls_more(fallen[hard].tolist(), fallen[~inside].tolist())
    return Unlearning(
        float(left[hard].mean()) if hard.any() else 0.0,
        float(left[~inside].mean()) if len(usual) else 0.0,
        int(hard.sum()), len(usual), chance, p_value,
        {int(row): float(value) for row, value in zip(style, fallen, strict=False)},
        {int(row): logits for row, logits in zip(style, said, strict=False)},
    )


def _ordinary(evidence: RowEvidence, excluded: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Ordinary rows, evenly over the labels."""
    usable = evidence.ordinary.copy()
    usable[excluded] = False
    labels = np.unique(evidence.labels)
    parts = [
        rng.permutation(np.flatnonzero(usable & (evidence.labels == value)))[: count // len(labels) + 1]
        for value in labels
    ]
    return np.concatenate(parts)


def _sample(rows: Indices, rng: np.random.Generator) -> Indices:
    return np.sort(rng.permutation(rows)[:ASKED])
