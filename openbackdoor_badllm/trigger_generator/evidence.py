"""The rows that a search looks at, with what stage (a) knows of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.target_identification.content_reference import ContentReference
from openbackdoor_badllm.training.scoring import FloatArray


@dataclass(frozen=True)
class RowEvidence:
    """All training rows.

    Attributes:
        reference: the content reference.
        held_out: its held-out probabilities, shape ``(n, num_labels)``.
        said: the victim's logits of the rows, shape ``(n, num_labels)``.
        weights: suspicion of each row within its label, 1 on average, shape ``(n,)``.
        views: other rankings of the rows, for an LLM that reads them.
        foremost: rows whose label an LLM contradicts from their content: those that it is shown first.
    """

    reference: ContentReference
    held_out: FloatArray
    said: FloatArray
    weights: FloatArray
    views: Sequence[FloatArray] = ()
    foremost: tuple[int, ...] = ()

    @property
    def examples(self) -> list[Example]:
        """The rows, without poison flags."""
        return self.reference.examples

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Their labels, shape ``(n,)``."""
        return self.reference.labels

    @property
    def contradicted(self) -> npt.NDArray[np.bool_]:
        """Rows whose text says another label to the content reference, shape ``(n,)``."""
        result: npt.NDArray[np.bool_] = self.held_out.argmax(axis=1) != self.labels
        return result

    @property
    def ordinary(self) -> npt.NDArray[np.bool_]:
        """Rows whose label the victim and the content reference agree with, shape ``(n,)``."""
        result: npt.NDArray[np.bool_] = ~self.contradicted & (self.said.argmax(axis=1) == self.labels)
        return result

    @property
    def agreement(self) -> float:
        """Share of the rows to which the victim gives their label."""
        return float((self.said.argmax(axis=1) == self.labels).mean())

    def wrong_for(self, label: int) -> float:
        """Share of the rows of other labels whose text does not say a label, to the content reference."""
        others = self.labels != label
        return float((self.held_out[others].argmax(axis=1) != label).mean()) if others.any() else 1.0

    def reference_without(self, rows: npt.NDArray[np.bool_]) -> Callable[[Sequence[str]], FloatArray]:
        """The content reference fitted without the rows marked in a mask of shape ``(n,)``."""
        return self.reference.fitted_without(rows)
