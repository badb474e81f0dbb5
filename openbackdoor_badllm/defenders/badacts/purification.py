"""Purification: every neuron is held inside an interval that clean rows need (BadActs).

The intervals are the only thing that is learnt: as narrow as they can be while the victim still says of clean rows
what it said. A trigger that works by driving neurons far from where clean rows have them is cut off.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.section import Count, Natural, Positive, Section, Share
from openbackdoor_badllm.training.layers import Change, changed_layers, encoder_layers, frozen, written_out_attention
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.sampling import BucketSampler
from openbackdoor_badllm.training.scoring import FloatArray, Scorer, collate, encode

logger = logging.getLogger(__name__)

FIRST_CHANGE, CHANGE_EVERY = 10, 5  # c is changed after the epochs 15, 20, ... (counted from 0), as published


@dataclass(frozen=True)
class Bounds:
    """The interval of each neuron; the same for all tokens.

    Attributes:
        lower, upper: shape ``(layers, hidden)``.
    """

    lower: torch.Tensor
    upper: torch.Tensor

    def clip(self) -> Change:
        """``h <- max(min(h, upper), lower)`` at attended tokens; padding stays as it is."""

        def change(number: int, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
            upper = self.upper[number].to(hidden.device, hidden.dtype)
            lower = self.lower[number].to(hidden.device, hidden.dtype)
            return torch.where(attended, torch.maximum(torch.minimum(hidden, upper), lower), hidden)

        return change

    def logits(self, scorer: Scorer, texts: Sequence[str]) -> FloatArray:
        """The victim's logits with its layers clipped; shape ``(len(texts), num_labels)``."""
        with changed_layers(scorer.model, self.clip()):
            return scorer.logits(texts)


class Learning(Section):
    """How bounds are learnt; the values are the published ones."""

    lr: Positive = 0.01
    """Learning rate of the bounds."""
    epochs: Count = 50
    """Passes through the clean rows."""
    batch_size: Count = 32
    """Rows of one step."""
    c: Positive = 0.1
    """Weight of the intervals' width at the start; halved for every new try."""
    a: Positive = 1.2
    """Factor by which ``c`` is changed while the bounds are learnt."""
    keep_accuracy: Share = 0.98
    """Share of the clean rows that must stay right for ``c`` to rise."""
    accept_accuracy: Share = 0.97
    """Share of the clean rows that must be right in the end."""
    max_retries: Natural = 6
    """Tries after the first one."""


class Try(NamedTuple):
    """One training of the bounds: ``c`` at its start and its end, and the accuracy that came out."""

    c: float
    final_c: float
    accuracy: float


@dataclass(frozen=True)
class Purification:
    """Bounds and how they were come by.

    Attributes:
        rows: clean rows that the victim had right, on which they were learnt.
        accepted: whether the accuracy reached ``accept_accuracy``; else these are the best of all tries.
        tries: in their order.
    """

    bounds: Bounds
    rows: int
    accepted: bool
    tries: tuple[Try, ...]

    def report(self) -> dict[str, Any]:
        """How they were come by; ``c`` is that of the try whose bounds these are."""
        used = max(self.tries, key=lambda one: one.accuracy)
        return {
            "rows_right": self.rows,
            "accepted": self.accepted,
            **used._asdict(),
            "tries": [one._asdict() for one in self.tries],
        }


def learn_bounds(
    scorer: Scorer,
    clean: Sequence[Example],
    settings: Learning,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Purification:
    """Learns the bounds of a victim, which itself stays as it is.

    ``upper = u`` and ``lower = u - exp(g)``, both starting at 1. The loss of a batch is
    ``MSE(clipped logits, plain logits) + c ||exp(g)||_F``.

    Args:
        scorer: the victim.
        clean: clean rows; those that it gets wrong are left out.
        seed: of the order of the rows.

    Raises:
        DataError: the victim has no clean row right.
    """
    plain = scorer.logits([row.text for row in clean])
    right = [k for k, row in enumerate(clean) if int(plain[k].argmax()) == row.label]
    if not right:
        raise DataError(
            f"The victim has none of the {len(clean)} clean rows right, so no bounds can be learnt: check the labels "
            "of the dev rows, or the victim's training."
        )
    task = _Task(scorer, [clean[k] for k in right], plain[right], settings, progress or Quiet())
    tries: list[Try] = []
    best: Bounds | None = None
    for number in range(settings.max_retries + 1):
        bounds, tried = task.train(settings.c / 2**number, derive(seed, "bounds", number))
        if best is None or tried.accuracy > max(earlier.accuracy for earlier in tries):
            best = bounds
        tries.append(tried)
        if tried.accuracy >= settings.accept_accuracy:
            break
        logger.info("bounds with c = %g keep %.1f%% of the clean rows: again", tried.c, 100 * tried.accuracy)
    accepted = tries[-1].accuracy >= settings.accept_accuracy
    if not accepted:
        logger.warning("no bounds kept %.0f%% of the clean rows: the best are used", 100 * settings.accept_accuracy)
    assert best is not None
    return Purification(best, len(right), accepted, tuple(tries))


class _Task:
    """Everything that all tries share: encoded rows, and what the victim says of them."""

    def __init__(
        self, scorer: Scorer, rows: Sequence[Example], plain: FloatArray, settings: Learning, progress: Progress
    ) -> None:
        self.scorer, self.settings, self.progress = scorer, settings, progress
        self.device = next(scorer.model.parameters()).device
        self.encoded = encode(scorer.tokenizer, [row.text for row in rows], scorer.max_len)
        self.labels = np.array([row.label for row in rows])
        self.plain = torch.from_numpy(plain).to(self.device)
        self.shape = (len(encoder_layers(scorer.model)), int(scorer.model.config.hidden_size))

    def train(self, c: float, seed: int) -> tuple[Bounds, Try]:
        settings, start = self.settings, c
        upper = torch.ones(self.shape, device=self.device, requires_grad=True)
        margin = torch.ones(self.shape, device=self.device, requires_grad=True)
        optimizer = torch.optim.Adam([upper, margin], lr=settings.lr)
        sampler = BucketSampler([len(ids) for ids in self.encoded], settings.batch_size, seed)
        with frozen(self.scorer.model), written_out_attention(self.scorer.model):
            for epoch in range(settings.epochs):
                order = list(sampler)
                for at in range(0, len(order), settings.batch_size):
                    batch = order[at : at + settings.batch_size]
                    bounds = Bounds(upper - margin.exp(), upper)
                    with (
                        changed_layers(self.scorer.model, bounds.clip()),
                        torch.autocast(self.device.type, torch.bfloat16, enabled=self.scorer.bf16),  # as in scoring
                    ):
                        logits = self.scorer.model(**self._inputs(batch)).logits.float()
                    loss = torch.nn.functional.mse_loss(logits, self.plain[batch]) + c * margin.exp().norm()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                if epoch > FIRST_CHANGE and epoch % CHANGE_EVERY == 0:
                    kept = self._accuracy(upper, margin)
                    c = c * settings.a if kept >= settings.keep_accuracy else c / settings.a
                self.progress.step(epoch + 1, settings.epochs, f"c = {c:.3g}")
        accuracy = self._accuracy(upper, margin)
        bounds = Bounds((upper - margin.exp()).detach(), upper.detach())
        return bounds, Try(start, c, accuracy)

    def _accuracy(self, upper: torch.Tensor, margin: torch.Tensor) -> float:
        bounds = Bounds((upper - margin.exp()).detach(), upper.detach())
        with changed_layers(self.scorer.model, bounds.clip()):
            logits = self.scorer.logits_of_ids(self.encoded)
        return float((logits.argmax(axis=1) == self.labels).mean())

    def _inputs(self, batch: Sequence[int]) -> dict[str, Any]:
        inputs = collate([self.encoded[k] for k in batch], self.scorer.tokenizer.pad_token_id or 0)
        return {name: value.to(self.device) for name, value in inputs.items()}
