"""Adapters of defenders: OpenBackdoor's own with our interface, ours within OpenBackdoor's evaluation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.openbackdoor.working import at_work, inside
from openbackdoor_badllm.training.rng import derive


class Foreign(Defender):
    """A defender of OpenBackdoor's own with this package's interface.

    Args:
        kind: its class.
        config: section ``defender``; keys that it does not know are swallowed by it.
    """

    def __init__(self, kind: type, config: Mapping[str, Any]) -> None:
        self.seed = int(config.get("seed", 42))
        self._workspace = tempfile.TemporaryDirectory(prefix="badllmtg-")
        with at_work(self.seed), inside(self._workspace.name):  # bki and cube make a folder for checkpoints at once
            self.inner = kind(**config)
        trainer = getattr(self.inner, "trainer", None)
        self.trains_model = trainer is not None  # type: ignore[misc]
        if trainer is not None:
            trainer.save_path = str(Path(self._workspace.name) / trainer.save_path)
        super().__init__(
            name=str(config["name"]).lower(), pre=bool(self.inner.pre), correction=bool(self.inner.correction),
            metrics=self.inner.metrics,
        )
        self.outcome = (
            "cleaned training set" if self.pre else "corrected text" if self.correction else "rejected rows"
        )

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """Its flags."""
        with at_work(derive(self.seed, self.name, "detect")):
            return [int(flag) for flag in self.inner.detect(model, clean_data, list(poison_data or []))]

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """Its rows."""
        given = {"model": model, "clean_data": clean_data} if model is not None else {}
        with at_work(derive(self.seed, self.name, "correct")):
            return list(self.inner.correct(poison_data=list(poison_data or []), **given))


class Watched:
    """A test-time defender, passed on to OpenBackdoor; keeps what it answered."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.pre, self.correction = False, bool(inner.correction)
        self.corrected: list[list[Any]] = []
        self.flags: Sequence[int] = []

    def correct(self, **arguments: Any) -> list[Any]:
        done = list(self._inner.correct(**arguments))
        self.corrected.append(done)
        return done

    def eval_detect(self, **arguments: Any) -> Any:
        scores, self.flags = self._inner.eval_detect(**arguments)
        return scores, self.flags
