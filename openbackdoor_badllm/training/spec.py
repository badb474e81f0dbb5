"""What is trained, and what may set a training apart: the words that :mod:`.classifier` and :mod:`.trainer` share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from openbackdoor_badllm.training.victims import supports_bf16


@dataclass(frozen=True)
class TrainSpec:
    """How a classifier is trained; equal specs on equal rows give equal models on one machine."""

    path: str = "minilm"
    """Folder or hub name of the pretrained model; ``minilm`` is the packaged one."""
    num_labels: int = 2
    """Number of classes."""
    max_len: int = 128
    """Tokens kept of a text."""
    lr: float = 2e-5
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    epochs: int = 5
    """Passes through the rows."""
    batch_size: int = 32
    """Rows of one optimisation step on one device."""
    warm_up_epochs: float = 0.5
    """Epochs of linear warm-up; the rate then falls linearly to 0. Capped at half of ``epochs``."""
    gradient_accumulation_steps: int = 1
    """Batches of one optimisation step."""
    max_grad_norm: float = 1.0
    """Clipping of the global gradient norm."""
    balanced: bool = False
    """Weigh each class by the inverse of its share, so that the loss does not follow the class balance."""
    ckpt: str = "last"
    """``last`` epoch, or ``best`` by accuracy on the clean dev rows (never on poisoned ones)."""
    device: str = "gpu"
    """``gpu`` (where there is one) or ``cpu``."""
    precision: str = "auto"
    """``auto`` (bfloat16 where it is a gain), ``bf16`` or ``fp32``."""
    seed: int = 42
    """Seed of the head, the order of the rows and the dropout."""

    def replace(self, **changes: Any) -> TrainSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


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
