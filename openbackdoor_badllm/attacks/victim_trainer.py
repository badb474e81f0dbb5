"""Trainers: how a victim is trained on a poisoned (or repaired) data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.config import TrainConfig, train_spec
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store


class Trainer:
    """Trains a victim in place. Checkpoints are chosen on clean dev rows alone.

    Args:
        **config: the keys of :class:`TrainConfig`.
    """

    def __init__(self, **config: Any) -> None:
        self.config = read(TrainConfig, config, "attacker.train")
        self.seed = self.config.seed if self.config.seed is not None else 42
        self.store: Store | None = None
        self.progress: Progress | None = None

    def train(
        self, model: PLMVictim, dataset: Mapping[str, Sequence[Any]], metrics: Sequence[str] = ("accuracy",)
    ) -> PLMVictim:
        """Trains on ``dataset["train"]``; ``dataset["dev-clean"]`` chooses the epoch when ``ckpt`` is ``best``.

        Raises:
            DataError: no training rows, or a label outside the victim's classes.
        """
        spec, examples, dev = self.plan(model, dataset)
        model.trained = train_classifier(spec, examples, dev=dev, store=self.store, progress=self.progress)
        return model

    def plan(
        self, model: PLMVictim, dataset: Mapping[str, Sequence[Any]]
    ) -> tuple[TrainSpec, list[Example], list[Example]]:
        """What :meth:`train` would train: the spec, the training rows and the dev rows.

        Raises:
            DataError: as :meth:`train`.
        """
        examples = blind(dataset["train"])
        if not examples:
            raise DataError("There are no training rows left: expected at least one of each class.")
        dev = blind(dataset.get("dev-clean") or dataset.get("dev") or [])
        highest = max(example.label for example in [*examples, *dev])
        num_labels = model.config.num_classes or highest + 1
        if highest >= num_labels:
            raise DataError(
                f"A row has the label {highest}, but the victim has classes 0 to {num_labels - 1}: raise "
                "'victim.num_classes', or mend the labels."
            )
        spec = train_spec(model.config, self.config, num_labels=num_labels, seed=self.seed, path=model.path)
        return spec, examples, dev
