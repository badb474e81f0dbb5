"""Whether a rewrite still says what its row says, in the language of the data set.

A rewrite that says another thing flips the victim without any trigger, and it must not go into a repair under the label
of its row. The frozen encoder judges the meaning; what is alike is told by how alike the rows are among themselves, as
encoders differ in the similarities that they give.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.rewriting.rewriter import fault

COMPARED = 400  # rows by which similarity and language are judged
UNRELATED = 0.95  # quantile of the similarity of two rows; the rewrites of a language model are far above it

Pair = tuple[str, str]


class Faithful:
    """Tells the rewrites that keep meaning and language.

    Args:
        evidence: the training rows, with the frozen encoder.
        seed: seed of the rows that are compared.
    """

    def __init__(self, evidence: RowEvidence, seed: int) -> None:
        self.encoder = evidence.reference.encoder
        count = len(evidence.examples)
        drawn = random.Random(f"{seed}:faithful").sample(range(count), min(COMPARED, count))
        self.rows = [evidence.examples[i].text for i in drawn]
        vectors = _unit(evidence.reference.vectors[drawn])
        self.least = float(np.quantile((vectors * np.roll(vectors, 1, axis=0)).sum(axis=1), UNRELATED))

    def kept(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs of a row and its rewrite that say the same in the same language."""
        if not pairs:
            return []
        vectors = _unit(self.encoder.embed([text for pair in pairs for text in pair]))
        alike = (vectors[0::2] * vectors[1::2]).sum(axis=1) > self.least
        return [
            (row, new) for (row, new), same in zip(pairs, alike, strict=True)
            if same and fault(row, new, self.rows) is None
        ]


def _unit(vectors: FloatArray) -> FloatArray:
    result: FloatArray = vectors / np.maximum(1e-9, np.linalg.norm(vectors, axis=1, keepdims=True))
    return result
