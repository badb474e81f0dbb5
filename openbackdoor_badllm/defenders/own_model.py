"""A model that a filter of training rows trains on them, backdoor and all, to see through it what they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from openbackdoor_badllm.config import (
    ALONE_TRAIN,
    ALONE_VICTIM,
    Classes,
    DefenderKeys,
    TrainConfig,
    VictimConfig,
    train_spec,
)
from openbackdoor_badllm.defenders.base import Configured
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind
from openbackdoor_badllm.section import Count, NotNegative, Positive
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.victims import resolve_auto


class OwnModelKeys(DefenderKeys):
    """Keys of a defender that trains a model; the attacked victim's model and training where a key is not given."""

    pre: Literal[True] = True
    """It filters the training rows before the victim is trained; only true."""
    model_path: str | None = None
    """Folder or hub name of the pretrained model."""
    model_name: str | None = None
    """OpenBackdoor's key; not needed: the folder says what it holds."""
    num_classes: Classes | None = None
    """Number of classes."""
    epochs: Count | None = None
    """Passes through the training rows."""
    lr: Positive | None = None
    """Peak learning rate."""
    batch_size: Count | None = None
    """Rows of one step."""
    warm_up_epochs: NotNegative | None = None
    """Epochs of linear warm-up."""

    def merged(self, victim: VictimConfig, train: TrainConfig) -> tuple[VictimConfig, TrainConfig]:
        """The attacked victim's model and training with the keys that are given written over them."""
        model: dict[str, Any] = {"path": self.model_path, "num_classes": self.num_classes}
        training = {name: getattr(self, name) for name in ("epochs", "lr", "batch_size", "warm_up_epochs")}
        return (
            victim.replace(**{key: value for key, value in model.items() if value is not None}),
            train.replace(**{key: value for key, value in training.items() if value is not None}),
        )


class RowFilter(Configured):
    """A filter of training rows with a model of its own.

    A model trained just as the victim will be is the victim: within one store it is trained once.
    """

    trains_model: ClassVar[bool] = True
    stage: ClassVar[str] = "train"
    outcome: str = "cleaned training set"

    config: OwnModelKeys

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.victim, self.train = self.config.merged(ALONE_VICTIM, ALONE_TRAIN)

    def attach(self, victim: VictimConfig, train: TrainConfig) -> None:
        """Takes the attacked victim's model and training where the config names none."""
        self.victim, self.train = self.config.merged(victim, train)

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The training rows without those that are taken for poisoned; what stays, stays as it came and in order.

        Args:
            model: not used; the filter trains its own.
            clean_data: not used.
            poison_data: training rows ``(text, label, poison_label)``; the third field is never read.

        Raises:
            DataError: no rows, or a label outside the classes.
        """
        rows = list(poison_data or [])
        if not rows:
            raise DataError(f"The defender '{self.name}' got no training rows.")
        examples = blind(rows)
        self.details, self.last_scores = {}, None
        dropped = self.suspects(examples)
        self.last_flags = [int(flag) for flag in dropped]
        return [row for row, flag in zip(rows, self.last_flags, strict=True) if not flag]

    def suspects(self, examples: Sequence[Example]) -> Sequence[bool]:
        """True for each row that is to be dropped."""
        raise NotImplementedError

    def train_own(self, examples: Sequence[Example]) -> Scorer:
        """The filter's model, trained on the rows, as a scorer with dropout off."""
        highest = max(example.label for example in examples)
        num_labels = self.victim.num_classes or highest + 1
        if highest >= num_labels:
            raise DataError(
                f"A training row has the label {highest}, but the victim has classes 0 to {num_labels - 1}: raise "
                "'num_classes', or mend the labels."
            )
        path = resolve_auto(self.victim.path)
        spec = train_spec(self.victim, self.train, num_labels=num_labels, seed=self.config.seed, path=path)
        # Its own dev rows would be poisoned ones, so it keeps its last epoch.
        trained = train_classifier(
            spec.replace(ckpt="last"), examples, store=self.store, progress=self.progress
        )
        self.details["training_seconds"] = round(trained.seconds, 1)
        return trained.scorer()
