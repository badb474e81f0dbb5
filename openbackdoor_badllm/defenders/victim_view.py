"""A victim as a defender sees it, whichever framework it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.scoring import FloatArray, Scorer
from openbackdoor_badllm.training.victims import supports_bf16


class Answers(Protocol):
    """All that most defences need of a victim."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), classes)``, in the order of ``texts``."""


def answers_of(model: Any) -> Answers:
    """The victim as texts in, logits out.

    Raises:
        VictimError: nothing of the kind.
    """
    return model if callable(getattr(model, "logits", None)) else network_of(model)


def network_of(model: Any) -> Scorer:
    """The network behind a victim: ``model``, ``tokenizer``, ``max_len`` and batched scoring.

    Args:
        model: a victim of the built-in host (``trained``), a trained classifier (``scorer()``), or OpenBackdoor's
            ``PLMVictim`` (``plm`` and ``tokenizer``).

    Raises:
        VictimError: it has not been trained, or is none of these.
    """
    if isinstance(model, Scorer):
        return model
    if hasattr(model, "trained"):
        if model.trained is None:
            raise VictimError("This victim has not been trained yet: run the attack first.")
        model = model.trained
    if callable(getattr(model, "scorer", None)):
        scorer: Scorer = model.scorer()
        return scorer
    if hasattr(model, "plm") and hasattr(model, "tokenizer"):
        device = next(model.plm.parameters()).device
        return Scorer(
            model.plm,
            model.tokenizer,
            max_len=int(getattr(model, "max_len", 512) or 512),
            bf16=supports_bf16(device),
        )
    raise VictimError(
        f"A defender was handed a {type(model).__name__}: expected a victim of this package or of OpenBackdoor."
    )
