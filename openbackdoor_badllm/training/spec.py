"""What is trained, and what may set a training apart: the words that :mod:`.classifier` and :mod:`.trainer` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch

from openbackdoor_badllm.section import Count, NotNegative, Positive, Section, Whole
from openbackdoor_badllm.training.victims import supports_bf16


class Optimisation(Section):
    """Keys of every training: how long, how fast, and which epoch is kept."""

    lr: Positive = 2e-5
    """Peak learning rate of AdamW."""
    weight_decay: NotNegative = 0.0
    """Weight decay of AdamW."""
    epochs: Count = 10
    """Passes through the training rows."""
    batch_size: Count = 32
    """Rows of one optimisation step on one device."""
    warm_up_epochs: NotNegative = 3
    """Epochs of linear warm-up, at most half of ``epochs``; then the rate falls linearly to 0."""
    max_grad_norm: Positive = 1.0
    """Clipping of the global gradient norm."""
    ckpt: Literal["best", "last"] = "best"
    """``best`` epoch by accuracy on clean dev rows (never the poisoned ones), or ``last``."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """``auto`` (bfloat16 where it is a gain), ``bf16`` or ``fp32``."""


class TrainingKeys(Optimisation):
    """What the config's section ``attacker.train`` and the engine's spec have in common."""

    gradient_accumulation_steps: Count = 1
    """Batches of one optimisation step."""


class TrainSpec(TrainingKeys):
    """How a classifier is trained; equal specs on equal rows give equal models on one machine."""

    path: str = "minilm"
    """Folder or hub name of the pretrained model; ``minilm`` is the packaged one."""
    num_labels: Whole = 2
    """Number of classes."""
    max_len: Whole = 128
    """Tokens kept of a text."""
    device: str = "gpu"
    """``gpu`` (where there is one) or ``cpu``."""
    seed: Whole = 42
    """Seed of the head, the order of the rows and the dropout."""

    @classmethod
    def of(cls, training: Optimisation, **others: Any) -> TrainSpec:
        """The spec of a training whose keys have been checked; ``others`` are the fields that it does not have.

        Nothing is converted: the store names a training by its values, and 3 is another name than 3.0.
        """
        keys = TrainingKeys.model_fields.keys() & type(training).model_fields.keys()
        return cls.model_construct(**{**{key: getattr(training, key) for key in keys}, **others})


class Method(Protocol):
    """What sets a training apart from a plain one: which weights are trained, and what becomes of their gradients."""

    def describe(self) -> str:
        """Text that differs where the trained model would."""

    def prepare(self, model: Any, tokenizer: Any, spec: TrainSpec) -> None:
        """Changes the pretrained model in place, before the training; torch's generator is the spec's own here."""

    def after_backward(
        self, loss_of: Callable[[dict[str, torch.Tensor]], torch.Tensor], *, step: int, epoch: int
    ) -> None:
        """Changes the gradients of one optimisation step, before they are clipped.

        Args:
            loss_of: mean cross-entropy of further rows (``input_ids``, ``attention_mask``, ``labels``).
            step: counted from 0.
            epoch: counted from 0.
        """

    def finish(self, model: Any) -> None:
        """Makes the trained model, in place, one that can be saved and loaded as it was loaded before."""


def use_bf16(spec: TrainSpec, device: torch.device) -> bool:
    """Whether a victim of this spec computes in bfloat16 on this device."""
    return spec.precision == "bf16" or (spec.precision == "auto" and supports_bf16(device))
