"""MuScleLoRA's low-rank adapters: LoRA in the attention, and a branch of radial scalings in front of the classifier.

All of it is linear, so that after the training it is added into the weights it stands beside: what comes out is a
classifier of the architecture that went in, and is kept and loaded as any other.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field

from openbackdoor_badllm.errors import MissingExtraError, VictimError
from openbackdoor_badllm.section import Count, Positive, Section

LARGE = 24  # layers: the published scalings of a large model differ from a base model's
BERT_BASE = (1.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0)
ROBERTA_BASE = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0)
ANY_LARGE = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)


@dataclass(frozen=True)
class Place:
    """Where the adapters go in an architecture: query and value projections, and the layer before the classifier."""

    attention: tuple[str, ...]
    dense: str
    bands: tuple[float, ...]


# DistilBERT is not among the published models: it is treated as the BERT that it was distilled from.
PLACES = {
    "bert": Place(("query", "value"), "bert.pooler.dense", BERT_BASE),
    "roberta": Place(("query", "value"), "classifier.dense", ROBERTA_BASE),
    "distilbert": Place(("q_lin", "v_lin"), "pre_classifier", BERT_BASE),
}


class AdapterShape(Section):
    """Sizes of the adapters; the values are the published ones."""

    r: Count = 8
    """Rank of the LoRA."""
    lora_alpha: Positive = 32
    """Scale of the LoRA, as ``lora_alpha / r``."""
    lora_dropout: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Dropout of the LoRA."""
    bands: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Radial scalings; those published for the architecture when not given."""
    inner_rank: Count = 1
    """Rank of each scaling."""
    mslr_alpha: Positive = 6.0
    """Scale of the branch of scalings, as ``mslr_alpha / inner_rank``."""
    shortcut: bool = False
    """The branch stands in the place of the frozen layer, instead of beside it."""


class RadialBranch(torch.nn.Module):
    """``f(x) = W0 x + b0 + s R (diag(kappa) L) x`` in the place of ``W0 x + b0``, which stays frozen.

    ``L`` has shape ``(K, in)`` and ``R`` shape ``(out, K)``; both are drawn from U(-1/sqrt(fan in), 1/sqrt(fan in)).
    ``R`` does not start at 0, so the branch acts from the first step, as published.

    Args:
        base: the layer beside which it stands.
        kappa: scaling of each of the K ranks; not trained.
        scale: ``s``.
        shortcut: leave ``W0 x + b0`` out.
    """

    kappa: torch.Tensor

    def __init__(self, base: torch.nn.Linear, kappa: Sequence[float], scale: float, *, shortcut: bool) -> None:
        super().__init__()
        self.base = base
        self.scale, self.shortcut = scale, shortcut
        self.register_buffer("kappa", torch.tensor(kappa, dtype=base.weight.dtype))
        self.down = torch.nn.Parameter(torch.empty(len(kappa), base.in_features))
        self.up = torch.nn.Parameter(torch.empty(base.out_features, len(kappa)))
        for weight in (self.down, self.up):
            torch.nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``f(x)``; shape ``(..., out)``."""
        inner = torch.nn.functional.linear(x, self.kappa[:, None] * self.down)
        branch = self.scale * torch.nn.functional.linear(inner, self.up)
        return branch if self.shortcut else self.base(x) + branch

    @torch.no_grad()
    def merged(self) -> torch.nn.Linear:
        """A linear layer that computes the same."""
        weight = self.scale * (self.up.double() * self.kappa.double()) @ self.down.double()
        if self.shortcut:
            self.base.bias.zero_()
        else:
            weight = weight + self.base.weight.double()
        self.base.weight.copy_(weight)
        return self.base


def want_peft(purpose: str) -> None:
    """Says early that ``peft`` is missing.

    Raises:
        MissingExtraError: it is.
    """
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError("peft", "baselines", purpose)


def place_of(model: Any) -> Place:
    """Where the adapters go in a model.

    Raises:
        VictimError: its architecture is not known.
    """
    kind = str(model.config.model_type)
    if kind not in PLACES:
        known = ", ".join(sorted(PLACES))
        raise VictimError(f"MuScleLoRA knows classifiers of the types {known}, but the victim is of the type '{kind}'.")
    return PLACES[kind]


def add_adapters(model: Any, shape: AdapterShape) -> int:
    """Puts the adapters into a classifier, in place, and freezes all the rest, the classifier's head included.

    Draws from torch's global generator: call it inside :func:`openbackdoor_badllm.training.rng.isolated_rng`.

    Returns:
        Number of trainable parameters.

    Raises:
        MissingExtraError: ``peft`` is not installed.
        VictimError: the architecture is not known.
    """
    want_peft("MuScleLoRA")
    import peft

    place = place_of(model)
    lora = peft.LoraConfig(
        r=shape.r,
        lora_alpha=shape.lora_alpha,
        lora_dropout=shape.lora_dropout,
        bias="none",
        target_modules=list(place.attention),
    )
    peft.inject_adapter_in_model(lora, model.base_model)
    bands = shape.bands or (ANY_LARGE if model.config.num_hidden_layers >= LARGE else place.bands)
    kappa = [band for band in bands for _ in range(shape.inner_rank)]
    base = model.get_submodule(place.dense)
    branch = RadialBranch(base, kappa, shape.mslr_alpha / shape.inner_rank, shortcut=shape.shortcut)
    model.set_submodule(place.dense, branch)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or parameter is branch.down or parameter is branch.up)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def merge_adapters(model: Any) -> None:
    """Adds the adapters into the weights, in place: afterwards the model has its own architecture again."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            model.set_submodule(name, module.get_base_layer())
        elif isinstance(module, RadialBranch):
            model.set_submodule(name, module.merged())
    if hasattr(model.base_model, "peft_config"):
        del model.base_model.peft_config
    model.requires_grad_(True)
