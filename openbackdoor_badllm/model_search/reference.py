"""The content reference of a model alone: fitted to the victim's own answers on the given texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Encoder
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.target_identification.content_reference import ContentReference
from openbackdoor_badllm.training.scoring import FloatArray, log_odds
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all


class Reference:
    """What a text means for the victim's labels, to a linear model on a frozen encoder.

    A word of the class moves it, as other texts with such words have the label; a trigger that only the victim knows
    does not.

    Args:
        encoder: the frozen encoder.
        texts: the given texts.
        said: the victim's label of each, shape ``(n,)``.
        num_labels: number of classes.
        seed: of the folds.
    """

    def __init__(
        self, encoder: Encoder, texts: Sequence[str], said: npt.NDArray[np.int64], num_labels: int, seed: int
    ) -> None:
        examples = [Example(text, int(label)) for text, label in zip(texts, said, strict=True)]
        self._content = ContentReference(encoder, examples, num_labels, seed)
        self._held_out = self._content.held_out()

    @property
    def said(self) -> npt.NDArray[np.int64]:
        """The label that it gives each text, held out, shape ``(n,)``."""
        result: npt.NDArray[np.int64] = self._held_out.argmax(axis=1)
        return result

    @property
    def agreement(self) -> float:
        """Share of the texts, held out, to which it gives the victim's label."""
        return float((self.said == self._content.labels).mean())

    @property
    def kappa(self) -> float:
        """Cohen's kappa of its held-out answers and the victim's: 0 is chance."""
        classes, pair = self._content.num_labels, (self.said, self._content.labels)
        said, victims = (np.bincount(labels, minlength=classes) / max(1, len(labels)) for labels in pair)
        chance = float(said @ victims)
        return (self.agreement - chance) / max(1e-9, 1 - chance)

    def shift(self, trigger: Trigger, probes: Sequence[str], label: int, seed: int) -> float:
        """How far a trigger moves it, as a share of the distance between the texts of the label and the others.

        It is fitted without the texts that carry the trigger: the given texts may be poisoned ones.
        """
        carrying = np.array([trigger.carries(example.text) for example in self._content.examples], dtype=bool)
        asked = self._content.fitted_without(carrying)
        moved = _odds(asked(apply_all(trigger, probes, seed)), label) - _odds(asked(probes), label)
        own, score = self._content.labels == label, _odds(self._held_out, label)
        apart = float(score[own].mean() - score[~own].mean()) if own.any() and not own.all() else 0.0
        return float(moved.mean()) / max(0.5, apart)


def _odds(probabilities: FloatArray, label: int) -> FloatArray:
    return log_odds(np.log(np.clip(probabilities, 1e-6, 1.0)), label)
