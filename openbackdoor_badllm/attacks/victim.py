"""Victims: a pretrained language model with a classification head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.victims import resolve, resolve_auto


class PLMVictim:
    """A victim before and after its training; training replaces the model behind it.

    Args:
        **config: the keys of :class:`VictimConfig`.

    Raises:
        ConfigError: unknown key, or a wrong value.
        VictimError: its folder holds no usable model.
    """

    def __init__(self, **config: Any) -> None:
        self.config = read(VictimConfig, config, "victim")
        self.path = resolve_auto(self.config.path)
        resolve(self.path)  # a folder that cannot be loaded is told now, not after the data is read
        self.trained: TrainedClassifier | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 before it is known."""
        return self.config.num_classes or (self.trained.num_labels if self.trained else 0)

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_classes)``.

        Raises:
            VictimError: it has not been trained.
        """
        if self.trained is None:
            raise VictimError("This victim has not been trained yet: run the attack first.")
        return self.trained.logits(texts)
