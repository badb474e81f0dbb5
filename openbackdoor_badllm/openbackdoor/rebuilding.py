"""Adapter for defences that change the model, which OpenBackdoor's attackers have no call for."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from openbackdoor_badllm.config import TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.training.classifier import TrainedClassifier

logger = logging.getLogger(__name__)


class Answering(torch.nn.Module):
    """A victim as OpenBackdoor evaluates it, whose answers are those of ``victim.trained``."""

    def __init__(self, victim: Any) -> None:
        super().__init__()
        self._victim = victim
        self.trained = victim.trained

    def process(self, batch: Mapping[str, Any]) -> tuple[list[str], torch.Tensor]:
        """The texts stay texts; the model behind has a tokenizer of its own."""
        return list(batch["text"]), batch["label"]

    def forward(self, texts: Sequence[str]) -> Any:
        """``.logits`` of shape ``(len(texts), num_classes)``."""
        return SimpleNamespace(logits=torch.from_numpy(self._victim.logits(texts)))


class Rebuilding(Defender):
    """A defender that changes the model, for OpenBackdoor's own ``attack`` and ``eval``.

    OpenBackdoor asks a defence before the training (``pre``) or at the evaluation, never both. This one is asked at
    both: it takes note of the training rows, then, at the evaluation, puts its model behind the victim, once.

    Args:
        inner: the defender.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(name=inner.name, pre=True, correction=True, metrics=inner.metrics)
        self.inner = inner
        self._rows: list[Any] = []
        self._done: Any = None

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The rows as they came. With a model: puts another one behind it.

        Raises:
            ConfigError: the attacker has not shown the training rows before (``lwp``, ``lws``).
        """
        rows = list(poison_data or [])
        if model is None:
            self._rows, self.pre = rows, False  # from now on the evaluation is to ask
        elif self._done is not model:
            self._rebuild(model, clean_data or {})
            self._done = model
        return rows

    def _rebuild(self, model: Any, clean_data: Mapping[str, Sequence[Any]]) -> None:
        if not self._rows:
            raise ConfigError(
                f"The defender '{self.name}' needs the training rows, and this attacker has not handed them over: use "
                "the attacker 'base'."
            )
        classes = int(model.plm.config.num_labels)
        config = VictimConfig(
            path=str(model.plm.config._name_or_path), num_classes=classes, max_len=int(model.max_len),
            device="cpu" if model.device.type == "cpu" else "gpu",
        )
        spec = train_spec(config, TrainConfig(precision="fp32"), num_labels=classes, seed=42, path=config.path)
        model.plm.eval()
        victim = SimpleNamespace(
            config=config, path=config.path, num_classes=classes,
            trained=TrainedClassifier(model.plm, model.tokenizer, spec),
        )
        self.inner.store, self.inner.progress = self.store, self.progress
        trained = self.inner.rebuild(victim, self._rows, clean_data.get("dev") or [], classes)
        behind = Answering(SimpleNamespace(trained=trained, logits=trained.logits))
        model.process = behind.process
        model.forward = behind.forward


_MAKERS: dict[type, Any] = {}


def asked_twice(kind: type[Defender]) -> Any:
    """Makes defenders of a class for OpenBackdoor's registry; the same maker for the same class."""
    if kind in _MAKERS:
        return _MAKERS[kind]

    @functools.wraps(kind, updated=())
    def make(**config: Any) -> Defender:
        defender = kind(**config)
        return Rebuilding(defender) if getattr(defender, "changes_model", False) else defender

    return _MAKERS.setdefault(kind, make)
