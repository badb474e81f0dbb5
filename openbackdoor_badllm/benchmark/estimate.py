"""Cost estimate of a benchmark before it begins: trainings, hours, LLM calls.

Trainings of the references are counted by the very name under which the store keeps them, so that what cells share, or
what was trained in an earlier run, counts once or not at all. What a defender trains on rows of its own making cannot
be known before: it is counted by how many trainings that defender usually needs. Seconds are measured on a few
steps of the real victim on the real rows.

On the real OpenBackdoor nothing is kept, so every training of a victim counts; seconds are those of this package's
training loop in OpenBackdoor's precision.
"""

from __future__ import annotations

import copy
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.attacks.victim_trainer import Trainer
from openbackdoor_badllm.benchmark.cells import Cell
from openbackdoor_badllm.benchmark.spending import asks_llm
from openbackdoor_badllm.benchmark.task import CELL, MADE
from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.evaluation.dry_run import estimate_run
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host, open_host
from openbackdoor_badllm.rows import Example, as_rows
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier, training_key
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store

STEPS = (2, 6)  # steps of the two short trainings of the probe: their difference has no start-up in it


@dataclass
class Work:
    """What one victim on one kind of rows has to do."""

    spec: TrainSpec
    examples: list[Example]
    steps: int = 0
    texts: int = 0


@dataclass
class Cost:
    """What the cells that are missing may cost.

    Attributes:
        cells: how many of them.
        trainings: trainings that the references need, shared ones once, cached ones not at all.
        cached: trainings of the references that the store has already.
        own: trainings of the defenders, about.
        seconds: of one worker, about; None where nothing was measured.
        calls: of language models at most.
        host: whose trainings they are.
        money: None where there is no price.
        unknown: sentences about cells that cannot be estimated.
    """

    cells: int = 0
    trainings: int = 0
    cached: int = 0
    own: int = 0
    seconds: float | None = 0.0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float | None = None
    host: str = BUILTIN
    unknown: list[str] = field(default_factory=list)

    def sentences(self, jobs: int) -> list[str]:
        """For people."""
        told = [
            f"{self.cells} cells to run: {self.trainings} trainings of references ({self.cached} more are in the "
            f"cache), about {self.own} of defenders."
        ]
        if self.seconds is not None:
            told.append(
                f"About {duration(self.seconds / jobs)} with {jobs} job(s), by a short probe of training and scoring; "
                "what a defender computes beside that comes on top, unless earlier cells have shown it."
            )
        if self.host != BUILTIN:
            told.append(
                "Victims are trained by the real OpenBackdoor, which keeps none for the next cell. The probe measures "
                "this package's training loop, not OpenBackdoor's; the work of its own defenders is not estimated."
            )
        if self.calls:
            money = "" if self.money is None else f", at most {self.money:.2f} in money"
            told.append(
                f"Language model: at most {self.calls:,} calls, about {self.prompt_tokens:,} prompt tokens and "
                f"{self.completion_tokens:,} completion tokens{money}."
            )
        return [*told, *self.unknown]


def estimate(
    cells: Sequence[Cell],
    out: Path,
    store: Store,
    *,
    probe: bool = True,
    progress: Progress,
    host: Host | None = None,
) -> Cost:
    """Counts and measures.

    Args:
        cells: those that are missing.
        out: output folder; finished cells in it tell how long a defender takes.
        store: the store of trained victims.
        probe: measure seconds; without it they are None.
        progress: listener.
        host: the one that the cells were planned for; the built-in one when None.
    """
    host = host or open_host()
    cost = Cost(len(cells), host=host.name)
    counted: set[str] = set()
    work: dict[Any, Work] = {}
    usual = _usual_seconds(out, host.name)
    known_seconds = 0.0
    rows: dict[str, Any] = {}
    for number, cell in enumerate(cells, start=1):
        progress.step(number, len(cells), cell.title)
        try:
            pair = _Pair.of(cell, rows, host)
        except UserError as error:
            cost.unknown.append(f"Not in the estimate: {cell.title}: {error}")
            continue
        mine = work.setdefault(pair.kind, Work(*pair.sample()))
        for spec, examples, dev in pair.references(cell):
            key = training_key(store, spec, examples, dev=dev)
            if key in counted and host.name == BUILTIN:
                continue
            counted.add(key)
            if host.name == BUILTIN and (store.folder / key).is_dir():
                cost.cached += 1
            else:
                cost.trainings += 1
                mine.steps += _steps(spec, len(examples))
            mine.texts += pair.test_rows
        _add_defender(cost, cell, pair, mine, usual)
        known_seconds += usual.get((cell.profile, cell.defender), 0.0)
        _add_llm(cost, cell)
    cost.seconds = known_seconds + sum(_measure(item, progress) for item in work.values()) if probe else None
    return cost


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


@dataclass
class _Pair:
    """A cell's data, poisoned, and the trainer that would train on it."""

    host: Host
    trainer: Trainer
    victim: Any
    clean: Any
    poisoned: dict[str, Any]
    test_rows: int
    kind: tuple[Any, ...]

    @classmethod
    def of(cls, cell: Cell, cache: dict[str, Any], host: Host) -> _Pair:
        config = host.set_config(copy.deepcopy(cell.config))
        # Pairs of one seed come together: one data set and one poisoned version of it are kept at a time.
        data = _kept(cache, "data", config["poison_dataset"], lambda: host.load_dataset(**config["poison_dataset"]))
        if config["victim"].get("num_classes") is None:
            config["victim"]["num_classes"] = data.info.num_classes
        attacker = host.load_attacker(config["attacker"])
        victim = host.load_victim(config["victim"])
        poisoned = _kept(
            cache,
            "poisoned",
            [config["poison_dataset"], config["attacker"]["poisoner"]],
            lambda: attacker.poison(victim, data, "train"),
        )
        attacked = len([row for row in data["test"] if row.label != attacker.poisoner.target_label])
        kind = (victim.path, cell.dataset, victim.config.max_len, attacker.poison_trainer.config.batch_size)
        trainer = Trainer(**vars(attacker.poison_trainer.config))
        if host.name != BUILTIN:
            trainer.config = trainer.config.replace(precision="fp32")
        return cls(host, trainer, victim, data, poisoned, len(data["test"]) + attacked, kind)

    def references(self, cell: Cell) -> list[tuple[TrainSpec, list[Example], list[Example]]]:
        """What the cell's references train; the oracle, an evaluation, may read the flags."""
        wanted = []
        if "undefended" in cell.lines:
            wanted.append(self.poisoned["train"])
        if "references" in cell.lines:
            wanted.append([row for row in as_rows(self.poisoned["train"]) if not row.poison_label])
            wanted.append(self.clean["train"])
        return [self.trainer.plan(self.victim, {**self.poisoned, "train": rows}) for rows in wanted]

    def sample(self) -> tuple[TrainSpec, list[Example]]:
        """A spec, and rows for the probe."""
        spec, examples, _ = self.trainer.plan(self.victim, self.poisoned)
        return spec, examples[: max(STEPS) * spec.batch_size]


def _kept(cache: dict[str, Any], name: str, key: Any, make: Any) -> Any:
    mark = json.dumps(key, sort_keys=True, default=str)
    if cache.get(name, (None, None))[0] != mark:
        cache[name] = (mark, make())
    return cache[name][1]


def _steps(spec: TrainSpec, rows: int) -> int:
    return spec.epochs * math.ceil(rows / (spec.batch_size * spec.gradient_accumulation_steps))


def _add_defender(cost: Cost, cell: Cell, pair: _Pair, work: Work, usual: dict[Any, float]) -> None:
    if cell.defender is None or "defended" not in cell.lines:
        return
    config = pair.host.set_config(copy.deepcopy(cell.config))
    defender = pair.host.load_defender(config["defender"])
    victims = int(defender.pre) if pair.host.name == BUILTIN else int(defender.needs_trained_victim)
    trained = int(defender.trains_model) + victims
    cost.own += trained
    if (cell.profile, cell.defender) in usual:
        return
    spec, _, _ = pair.trainer.plan(pair.victim, pair.poisoned)
    work.steps += trained * _steps(spec, len(pair.poisoned["train"]))
    work.texts += pair.test_rows


def _add_llm(cost: Cost, cell: Cell) -> None:
    if not asks_llm(cell.config):
        return
    search = estimate_run(cell.config)
    if search is None:
        return
    cost.calls += search.calls
    cost.prompt_tokens += search.prompt_tokens
    cost.completion_tokens += search.likely_completion_tokens
    if search.money is not None:
        cost.money = (cost.money or 0.0) + search.money


def _measure(work: Work, progress: Progress) -> float:
    """Seconds of the work, by a few steps of its own kind."""
    if not work.steps and not work.texts:
        return 0.0
    progress.stage(f"a short probe of {Path(work.spec.path).name}")
    spec = work.spec.replace(epochs=1, ckpt="last", gradient_accumulation_steps=1)
    took: list[float] = []
    trained: TrainedClassifier | None = None
    for steps in STEPS:
        trained = train_classifier(spec, work.examples[: steps * spec.batch_size])
        took.append(trained.seconds)
    counts = [math.ceil(len(work.examples[: steps * spec.batch_size]) / spec.batch_size) for steps in STEPS]
    a_step = max(0.0, took[1] - took[0]) / max(1, counts[1] - counts[0])
    if trained is None:
        return 0.0
    begun = time.monotonic()
    texts = [example.text for example in work.examples]
    trained.logits(texts)
    a_text = (time.monotonic() - begun) / len(texts)
    return work.steps * work.spec.gradient_accumulation_steps * a_step + work.texts * a_text


def _usual_seconds(out: Path, host: str) -> dict[Any, float]:
    """Median seconds of the finished cells of a host, by profile and defender."""
    found: dict[Any, list[float]] = {}
    for file in (out / "cells").glob(f"*/{MADE}"):
        try:
            entry = json.loads((file.parent / CELL).read_text(encoding="utf-8"))
            mine = entry.get("host", BUILTIN) == host
            if mine and (file.parent / RESULTS).is_file() and entry["defender"]:
                seconds = json.loads(file.read_text(encoding="utf-8"))["seconds"]
                found.setdefault((entry["profile"], entry["defender"]), []).append(seconds)
        except (OSError, ValueError, KeyError):
            continue
    return {key: statistics.median(values) for key, values in found.items()}
