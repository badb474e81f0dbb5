"""The repair of a trained victim: 40 steps of further training, then epochs until no inserted trigger is left."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.trigger_generator.reward import flip_rates
from openbackdoor_badllm.trigger_generator.trigger import Trigger
from openbackdoor_badllm.trigger_inversion.repair_check import (
    RepairCheck,
    RepairProbes,
    agreement,
    counterexamples,
    moved,
    planted,
)

FEWEST_STEPS = 40
"""Of a repair in place."""


class CleanModel(NamedTuple):
    """The model after a repair, and whether it is the victim trained further."""

    model: TrainedClassifier
    in_place: bool


@dataclass(frozen=True)
class Watched:
    """The triggers of one backdoor and the texts on which they are tried, none of which took part in the search."""

    target_label: int
    triggers: tuple[Trigger, ...]
    probes: tuple[str, ...]

    def flips(self, victim: Classifier, seed: int) -> dict[str, float]:
        """Flip rate of each inserted trigger on a victim, by its text."""
        return flip_rates(victim, self.target_label, list(self.triggers), self.probes, seed)


@dataclass(frozen=True)
class RepairPlan:
    """All that a repair in place needs: rows to train further on, and the triggers to watch.

    Attributes:
        rows: of the fine-tuning.
        watched: one entry for each backdoor.
        probes: what the repaired rows share, and on what it is tried.
    """

    rows: tuple[Example, ...]
    watched: tuple[Watched, ...]
    probes: RepairProbes = field(default_factory=RepairProbes)

    @classmethod
    def of(cls, report: AuditReport) -> RepairPlan:
        """The plan of a report."""
        return cls(
            report.fine_tuning,
            tuple(
                Watched(found.target_label, tuple(found.triggers), report.search_of(found.target_label).probes.report)
                for found in report.backdoors
            ),
            report.repair_probes,
        )

    def flips(self, victim: Classifier, seed: int) -> dict[str, float]:
        """Flip rate of each inserted trigger on a victim, by its text."""
        return {text: rate for part in self.watched for text, rate in part.flips(victim, seed).items()}

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for a repair that is made later."""
        return {
            "rows": [list(row) for row in self.rows],
            "watched": [
                {
                    "target_label": part.target_label,
                    "triggers": [trigger.to_dict() for trigger in part.triggers],
                    "probes": list(part.probes),
                }
                for part in self.watched
            ],
            "probes": self.probes.to_dict(),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> RepairPlan:
        """The plan that :meth:`to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            tuple(Example(str(text), int(label)) for text, label in told["rows"]),
            tuple(
                Watched(
                    int(part["target_label"]),
                    tuple(Trigger.from_dict(item) for item in part["triggers"]),
                    tuple(map(str, part["probes"])),
                )
                for part in told["watched"]
            ),
            RepairProbes.from_dict(told["probes"]),
        )


def repair_in_place(
    trained: TrainedClassifier, plan: RepairPlan, config: AuditConfig, *, store: Store | None, progress: Progress
) -> TrainedClassifier:
    """A copy of the victim, trained further on the rows of the plan.

    It ends when no inserted trigger flips more probes than :attr:`Thresholds.repaired_flip_rate` allows and nothing
    else that the repaired rows share moves a label, after ``fine_tune_epochs`` at the latest. The probes are rows that
    the victim knows by heart, so few steps can seem enough: :data:`FEWEST_STEPS` come first, in one schedule.
    """
    rows, repaired, bounds = list(plan.rows), trained, config.thresholds
    before = moved(trained, plan.probes, config.seed)
    enough = math.ceil(FEWEST_STEPS * trained.spec.batch_size / max(1, len(rows)))
    done, epochs = 0, min(enough, config.fine_tune_epochs)
    while True:
        done += epochs
        progress.stage(f"(c) train the victim further on {len(rows)} rows, to epoch {done}")
        spec = trained.spec.replace(
            epochs=epochs, ckpt="last", warm_up_epochs=0.1, seed=derive(config.seed, "fine-tune", done)
        )
        repaired = train_classifier(spec, rows, start=repaired, store=store, progress=progress)
        found = planted(before, moved(repaired, plan.probes, config.seed), bounds.planted_flip_rate)
        worst = max(plan.flips(repaired, config.seed).values(), default=0.0)
        if (worst <= bounds.repaired_flip_rate and not found) or done >= config.fine_tune_epochs:
            break
        rows += counterexamples(found, plan.probes, random.Random(f"{config.seed}:counterexamples:{done}"))
        epochs = 1
    return repaired


def repaired_model(
    trained: TrainedClassifier,
    plan: RepairPlan,
    repaired: Sequence[Example],
    config: AuditConfig,
    *,
    store: Store | None,
    progress: Progress,
) -> CleanModel:
    """The clean model: the victim trained further, or a fresh one where that would harm the victim.

    Args:
        trained: the victim; of one that was trained elsewhere no fresh one can be made.
        plan: of the repair in place.
        repaired: the repaired rows, for a fresh model.
        config: the bounds; :attr:`Thresholds.repaired_loss` decides.
        store: where trained models are kept.
        progress: listener.
    """
    clean = repair_in_place(trained, plan, config, store=store, progress=progress)
    lost = agreement(trained, plan.probes) - agreement(clean, plan.probes)
    if lost <= config.thresholds.repaired_loss or trained.trace is None:
        return CleanModel(clean, True)
    progress.stage(f"(c) the repair in place costs {lost:.0%} of the other rows: train a fresh model instead")
    return CleanModel(train_classifier(trained.spec, repaired, store=store, progress=progress), False)


def check_repair(victim: Classifier | None, repaired: Classifier, plan: RepairPlan, config: AuditConfig) -> RepairCheck:
    """Audits a repaired model: do the triggers still work, and does anything else that the repaired rows share?

    Args:
        victim: the model before the repair; of None only the triggers are tried.
        repaired: the model after it, trained further or afresh.
        plan: what is tried.
        config: the bounds.
    """
    found = {}
    if victim is not None:
        before, after = (moved(model, plan.probes, config.seed) for model in (victim, repaired))
        found = planted(before, after, config.thresholds.planted_flip_rate)
    grown = {pattern.trigger.written: (pattern.label, value) for pattern, value in found.items()}
    return RepairCheck(plan.flips(repaired, config.seed), grown)
