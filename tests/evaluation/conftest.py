"""One whole run on the tiny world, made once and looked at by many tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.training import classifier as training
from openbackdoor_badllm.training.store import Store


@dataclass
class Trainings:
    """How many trainings really took place, those found in the store left out."""

    rows: list[int] = field(default_factory=list)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """Counts the trainings of a test."""
    return count_trainings(monkeypatch)


def count_trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    counted, really = Trainings(), training._train

    def train(spec: Any, tokenizer: Any, examples: Any, *rest: Any) -> Any:
        counted.rows.append(len(examples))
        return really(spec, tokenizer, examples, *rest)

    monkeypatch.setattr(training, "_train", train)
    return counted


@dataclass
class Finished:
    """A run that came to its end."""

    config: dict[str, Any]
    folder: Path
    store: Store
    results: dict[str, Any]
    trainings: Trainings


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_world import write_reviews

    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_data: Path) -> Finished:
    """Attack, defence and both references, with a store."""
    from tiny_world import config

    from openbackdoor_badllm.evaluation.experiment import Experiment, resolve
    from openbackdoor_badllm.evaluation.folder import RunFolder

    base = tmp_path_factory.mktemp("finished")
    store = Store(base / "cache")
    made = resolve(config(tiny_data, tiny_bert))
    with pytest.MonkeyPatch.context() as patch:
        counted = count_trainings(patch)
        results = Experiment(made, store=store).run(RunFolder(base / "run", made))
    return Finished(made, base / "run", store, results, counted)
