"""Gradient alignment (MuScleLoRA): each step goes where clean reference rows lead, as far as the training rows pull.

For every trainable tensor with the gradient g of the training rows and q of the reference rows, the aligned gradient is
``a = |<g, q>| / |q|^2 q``: as long as the projection of g on q, and always along +q.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.section import Natural, NotNegative, Section, Share
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.scoring import collate, encode

LossOf = Callable[[dict[str, torch.Tensor]], torch.Tensor]


class AlignmentConfig(Section):
    """When gradients are aligned, and how much of the raw one is let in; the values are the published ones."""

    one_batch_ref: bool = True
    """One batch of reference rows a step, instead of all of them."""
    ga_epoch: Natural = 1
    """Epochs, from the first, in which nothing of the raw gradient is let in."""
    max_raw_grad_ratio: Share = 0.1
    """What the raw gradient's share rises to, from 0, in the epochs after them."""
    min_ref_grad_norm: NotNegative = 5e-7
    """Where the reference rows' mean gradient norm is above this, and their loss above ``min_ref_loss``, the step is
    aligned whatever the epoch."""
    min_ref_loss: NotNegative = 0.4
    """See ``min_ref_grad_norm``."""

    def raw_share(self, epoch: int, epochs: int) -> float:
        """``rho`` of an epoch (counted from 0): 0 at ``ga_epoch``, then rising by equal steps toward the maximum."""
        return self.max_raw_grad_ratio * max(0, epoch - self.ga_epoch) / max(1, epochs - self.ga_epoch)


def aligned(gradient: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """``|<g, q>| / |q|^2 q`` of one tensor; ``g`` itself where either is 0."""
    dot = torch.sum(gradient * reference)
    length = torch.sum(reference * reference)
    usable = (length > 0) & (torch.sum(gradient * gradient) > 0)
    projected = dot.abs() / torch.where(usable, length, 1.0) * reference
    return torch.where(usable, projected, gradient)


def align_step(
    parameters: Sequence[torch.nn.Parameter],
    references: Sequence[torch.Tensor | None],
    reference_loss: float,
    config: AlignmentConfig,
    *,
    epoch: int,
    epochs: int,
) -> float | None:
    """Changes ``parameter.grad`` in place by the rule of one optimisation step.

    Args:
        parameters: the trainable tensors, with the gradients of the training rows.
        references: the reference rows' gradient of each, in the same order; None where there is none.
        reference_loss: their mean cross-entropy.
        epoch: counted from 0.

    Returns:
        The share of the raw gradient that was let in; None where the gradients were left as they were.
    """
    pairs = [
        (parameter.grad, reference)
        for parameter, reference in zip(parameters, references, strict=True)
        if parameter.grad is not None and reference is not None
    ]
    norms = torch.stack([reference.norm() for _, reference in pairs]) if pairs else torch.zeros(1)
    mean_norm = float(norms[norms > 0].mean()) if bool((norms > 0).any()) else 0.0
    if mean_norm > config.min_ref_grad_norm and reference_loss > config.min_ref_loss:
        share = 0.0
    elif config.max_raw_grad_ratio > 0 and epoch >= config.ga_epoch:
        share = config.raw_share(epoch, epochs)
    else:
        return None
    for gradient, reference in pairs:
        gradient.copy_((1 - share) * aligned(gradient, reference) + share * gradient)
    return share


class References:
    """Clean reference rows, drawn in batches.

    Args:
        batch_size: rows of a batch.
        seed: of the draws; with the step it decides the batch, so that a resumed training draws the same.
        one_batch: one batch a step, instead of all rows.
    """

    def __init__(
        self, tokenizer: Any, rows: Sequence[Example], max_len: int, *, batch_size: int, seed: int, one_batch: bool
    ) -> None:
        self.encoded = encode(tokenizer, [row.text for row in rows], max_len)
        self.labels = torch.tensor([row.label for row in rows])
        self.pad_id = tokenizer.pad_token_id or 0
        self.batch_size, self.seed, self.one_batch = batch_size, seed, one_batch

    def batches(self, step: int) -> Iterator[dict[str, torch.Tensor]]:
        """The batches of one step: one, or as many as hold all rows."""
        order = list(range(len(self.encoded)))
        random.Random(derive(self.seed, "reference", step)).shuffle(order)
        for at in range(0, 1 if self.one_batch else len(order), self.batch_size):
            batch = order[at : at + self.batch_size]
            yield {**collate([self.encoded[k] for k in batch], self.pad_id), "labels": self.labels[batch]}


def reference_gradients(
    loss_of: LossOf, parameters: Sequence[torch.nn.Parameter], references: References, step: int
) -> tuple[float, list[torch.Tensor | None]]:
    """Mean loss of a step's reference batches and its gradient by each parameter; ``parameter.grad`` is not touched."""
    losses: list[torch.Tensor] = []
    sums: list[torch.Tensor | None] = [None] * len(parameters)
    batches = list(references.batches(step))
    for batch in batches:
        loss = loss_of(batch)
        losses.append(loss.detach())
        for k, gradient in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
            if gradient is not None:
                known = sums[k]
                sums[k] = gradient if known is None else known + gradient
    return float(torch.stack(losses).mean()), [None if total is None else total / len(batches) for total in sums]
