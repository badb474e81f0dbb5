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
from openbackdoor_badllm.benchmark.cell import CELL, MADE, Cell
from openbackdoor_badllm.benchmark.view import duration
from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.evaluation.dry_run import estimate_run
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host
from openbackdoor_badllm.rows import Example, as_rows
from openbackdoor_badllm.training.classifier import train_classifier, training_key
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.trigger_generator.search_estimate import SearchEstimate

STEPS = (2, 6)  # steps of the two short trainings of the probe: their difference has no start-up in it


@dataclass
class Work:
    """What one victim on one kind of rows has to do; ``examples`` are rows for the probe."""

    spec: TrainSpec
    examples: list[Example]
    steps: int = 0
    texts: int = 0


@dataclass
class Cost:
    """What the cells that are missing may cost.

    Attributes:
        trainings: trainings that the references need, shared ones once, cached ones not at all.
        cached: trainings of the references that the store has already.
        own: trainings of the defenders, about.
        seconds: of one worker, about; None where nothing was measured.
        searches: with a language model, at most.
        unknown: sentences about cells that cannot be estimated.
    """

    cells: int
    host: str
    trainings: int = 0
    cached: int = 0
    own: int = 0
    seconds: float | None = 0.0
    searches: list[SearchEstimate] = field(default_factory=list)
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
        calls = sum(search.calls for search in self.searches)
        if calls:
            prompt = sum(search.prompt_tokens for search in self.searches)
            completion = sum(search.likely_completion_tokens for search in self.searches)
            prices = [search.money for search in self.searches if search.money is not None]
            money = f", at most {sum(prices):.2f} in money" if prices else ""
            told.append(
                f"Language model: at most {calls:,} calls, about {prompt:,} prompt tokens and {completion:,} "
                f"completion tokens{money}."
            )
        return [*told, *self.unknown]


def estimate(
    cells: Sequence[Cell], out: Path, store: Store, host: Host, *, probe: bool = True, progress: Progress
) -> Cost:
    """Counts and measures.

    Args:
        cells: those that are missing.
        out: output folder; finished cells in it tell how long a defender takes.
        store: the store of trained victims.
        host: the one that the cells were planned for.
        probe: measure seconds; without it they are None.
        progress: listener.
    """
    cost = Cost(len(cells), host.name)
    builtin = host.name == BUILTIN
    counted: set[str] = set()
    work: dict[Any, Work] = {}
    usual = _usual_seconds(out, host.name)
    known_seconds = 0.0
    rows: dict[str, Any] = {}
    for number, cell in enumerate(cells, start=1):
        progress.step(number, len(cells), cell.title)
        try:
            pair = _Pair(cell, rows, host)
        except UserError as error:
            cost.unknown.append(f"Not in the estimate: {cell.title}: {error}")
            continue
        spec, examples, _ = pair.plan(pair.poisoned["train"])
        mine = work.setdefault(pair.kind, Work(spec, examples[: max(STEPS) * spec.batch_size]))
        for reference in pair.references(cell):
            key = training_key(store, *reference[:2], dev=reference[2])
            if builtin and key in counted:
                continue
            counted.add(key)
            if builtin and (store.folder / key).is_dir():
                cost.cached += 1
            else:
                cost.trainings += 1
                mine.steps += _steps(reference[0], len(reference[1]))
            mine.texts += pair.test_rows
        if "defended" in cell.lines:
            trained = pair.trainings_of_defender()
            cost.own += trained
            seconds = usual.get((cell.profile, cell.defender))
            if seconds is None:
                mine.steps += trained * _steps(spec, len(examples))
                mine.texts += pair.test_rows
            known_seconds += seconds or 0.0
            search = estimate_run(cell.config)
            cost.searches += [search] if search else []
    cost.seconds = known_seconds + sum(_measure(item, progress) for item in work.values()) if probe else None
    return cost


class _Pair:
    """A cell's data, poisoned, and the trainer that would train on it."""

    def __init__(self, cell: Cell, cache: dict[str, Any], host: Host) -> None:
        self.host = host
        self.config = config = host.set_config(copy.deepcopy(cell.config))
        # Pairs of one seed come together: one data set and one poisoned version of it are kept at a time.
        data = _kept(cache, "data", config["poison_dataset"], lambda: host.load_dataset(**config["poison_dataset"]))
        if config["victim"].get("num_classes") is None:
            config["victim"]["num_classes"] = data.info.num_classes
        attacker = host.load_attacker(config["attacker"])
        self.victim = host.load_victim(config["victim"])
        self.clean = data["train"]
        self.poisoned: dict[str, Any] = _kept(
            cache,
            "poisoned",
            [config["poison_dataset"], config["attacker"]["poisoner"]],
            lambda: attacker.poison(self.victim, data, "train"),
        )
        attacked = sum(row.label != attacker.poisoner.target_label for row in data["test"])
        self.test_rows = len(data["test"]) + attacked
        train = attacker.poison_trainer.config
        self.kind = (self.victim.path, cell.dataset, self.victim.config.max_len, train.batch_size)
        self.trainer = Trainer(**vars(train))
        if host.name != BUILTIN:
            self.trainer.config = self.trainer.config.replace(precision="fp32")

    def plan(self, rows: Sequence[Any]) -> tuple[TrainSpec, list[Example], list[Example]]:
        """What a training on the rows is: its spec, its rows and its dev rows."""
        return self.trainer.plan(self.victim, {**self.poisoned, "train": rows})

    def references(self, cell: Cell) -> list[tuple[TrainSpec, list[Example], list[Example]]]:
        """What the cell's references train; the oracle, an evaluation, may read the flags."""
        wanted = [self.poisoned["train"]] if "undefended" in cell.lines else []
        if "references" in cell.lines:
            wanted += [[row for row in as_rows(self.poisoned["train"]) if not row.poison_label], self.clean]
        return [self.plan(rows) for rows in wanted]

    def trainings_of_defender(self) -> int:
        """How many trainings the cell's defender usually needs, its victim included."""
        defender = self.host.load_defender(self.config["defender"])
        victims = defender.pre if self.host.name == BUILTIN else defender.needs_trained_victim
        return int(defender.trains_model) + int(victims)


def _kept(cache: dict[str, Any], name: str, key: Any, make: Any) -> Any:
    mark = json.dumps(key, sort_keys=True, default=str)
    if cache.get(name, (None, None))[0] != mark:
        cache[name] = (mark, make())
    return cache[name][1]


def _steps(spec: TrainSpec, rows: int) -> int:
    return spec.epochs * math.ceil(rows / (spec.batch_size * spec.gradient_accumulation_steps))


def _measure(work: Work, progress: Progress) -> float:
    """Seconds of the work, by a few steps of its own kind."""
    if not work.steps and not work.texts:
        return 0.0
    progress.stage(f"a short probe of {Path(work.spec.path).name}")
    spec = work.spec.replace(epochs=1, ckpt="last", gradient_accumulation_steps=1)
    parts = [work.examples[: steps * spec.batch_size] for steps in STEPS]
    short, long = (train_classifier(spec, part) for part in parts)
    more_steps = max(1, _steps(spec, len(parts[1])) - _steps(spec, len(parts[0])))
    a_step = max(0.0, long.seconds - short.seconds) / more_steps
    begun = time.monotonic()
    long.logits([example.text for example in work.examples])
    a_text = (time.monotonic() - begun) / len(work.examples)
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
