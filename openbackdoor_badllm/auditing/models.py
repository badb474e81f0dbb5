"""Victims that are in memory: a transformers classifier, or any callable from texts to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openbackdoor_badllm.errors import ConfigError, VictimError
from openbackdoor_badllm.evaluation.audit_victim import Given
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.training.victims import usable_length

BATCH = 256  # texts of one call of a callable


def as_given_model(model: Any, texts: Sequence[Any]) -> tuple[Given | None, str | None]:
    """A model as a victim in memory, where it is one, and its name in the config.

    Args:
        model: as :func:`~openbackdoor_badllm.audit` takes it.
        texts: of the rows; a callable is asked about one of them, to learn how many classes it has.

    Raises:
        ConfigError: it is none of the kinds that can be audited.
    """
    if model is None:
        return None, None
    if isinstance(model, str | Path):
        return None, str(model)
    if isinstance(model, tuple) and len(model) == 2:
        return InMemory(*model), f"a {type(model[0]).__name__} in memory"
    if hasattr(model, "model") and hasattr(model, "tokenizer"):  # a pipeline, a clean model
        return InMemory(model.model, model.tokenizer), f"a {type(model.model).__name__} in memory"
    if isinstance(model, torch.nn.Module) and hasattr(model, "config"):
        raise ConfigError(f"The {type(model).__name__} came without its tokenizer: give model=(model, tokenizer).")
    if callable(model):
        return Asked(model, str(texts[0])), "a callable"
    raise ConfigError(
        f"'model' should be a folder, a pair (model, tokenizer), a pipeline or a callable, but is a "
        f"{type(model).__name__}."
    )


class InMemory:
    """A transformers sequence classifier with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        names = getattr(getattr(model, "config", None), "id2label", None)
        if not isinstance(model, torch.nn.Module) or not names:
            raise ConfigError(
                f"'model' should be a transformers sequence classifier and its tokenizer, but is a pair of "
                f"{type(model).__name__} and {type(tokenizer).__name__}."
            )
        self.model, self.tokenizer = model, tokenizer
        self.label_names: Sequence[str] = tuple(str(names[index]) for index in sorted(names))

    def open(self, spec: TrainSpec) -> Victim:
        """The victim; it is asked, and a copy of it is trained."""
        _want_classes(len(self.label_names), spec)
        length = usable_length(self.model, spec.max_len)
        return TrainedClassifier(self.model, self.tokenizer, spec.replace(max_len=length))


class Asked:
    """A victim that can only be asked: behind an API, or of another framework.

    Args:
        answer: a list of texts in, logits or probabilities of shape ``(n, classes)`` out.
        text: any text.
    """

    def __init__(self, answer: Callable[[list[str]], Any], text: str) -> None:
        self.answer = answer
        self.classes = _as_matrix(answer([text]), 1).shape[1]
        self.label_names: Sequence[str] = tuple(f"LABEL_{index}" for index in range(self.classes))

    def open(self, spec: TrainSpec) -> Victim:
        """The victim."""
        _want_classes(self.classes, spec)
        return AskedVictim(self.answer, self.classes)


class AskedVictim:
    """A callable as a victim. Each text is asked once; probabilities become their logarithms."""

    def __init__(self, answer: Callable[[list[str]], Any], num_labels: int) -> None:
        self._answer, self.num_labels = answer, num_labels
        self._known: dict[str, FloatArray] = {}
        self._probabilities: bool | None = None

    @property
    def trace(self) -> Trace | None:
        """Its training is not known."""
        return None

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``.

        Raises:
            VictimError: the callable answers with something else.
        """
        fresh = list(dict.fromkeys(text for text in texts if text not in self._known))
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            values = _as_matrix(self._answer(batch), len(batch), self.num_labels)
            if self._probabilities is None:
                self._probabilities = bool((values >= 0).all() and np.allclose(values.sum(axis=1), 1.0, atol=1e-3))
            logits = np.log(np.clip(values, 1e-9, None)) if self._probabilities else values
            self._known.update(zip(batch, logits.astype(np.float32), strict=True))
        if not len(texts):
            return np.zeros((0, self.num_labels), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])

    def continued(self, examples: Sequence[Example], *, epochs: int = 1, lr_share: float = 0.5) -> Victim:
        """Never called: what trains the victim further is left out of the audit of a callable."""
        raise NotImplementedError("a victim that can only be asked cannot be trained further")


def _as_matrix(answer: Any, rows: int, classes: int | None = None) -> FloatArray:
    if hasattr(answer, "detach"):  # a torch tensor
        answer = answer.detach().cpu().float().numpy()
    try:
        values = np.asarray(answer, dtype=np.float32)
    except (TypeError, ValueError):
        values = np.zeros(0, dtype=np.float32)
    good = values.ndim == 2 and len(values) == rows and values.shape[1] >= 2
    if not good or classes not in (None, values.shape[1]) or not np.isfinite(values).all():
        raise VictimError(
            f"The model should answer {rows} texts with finite logits of the shape ({rows}, {classes or 'classes'}), "
            f"but gave {type(answer).__name__} of the shape {values.shape}: wrap it in a function that does."
        )
    return values


def _want_classes(count: int, spec: TrainSpec) -> None:
    if count != spec.num_labels:
        raise VictimError(
            f"The model has {count} classes, the rows have {spec.num_labels}: name the rows that it was trained on, or "
            "all class names in its order (label_names)."
        )
