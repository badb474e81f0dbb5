"""The repair of a trained victim: it is trained further, an epoch at a time, until no inserted trigger is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.trigger_generator.reward import flip_rates
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger


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
    """

    rows: tuple[Example, ...]
    watched: tuple[Watched, ...]

    @classmethod
    def of(cls, report: AuditReport) -> RepairPlan:
        """The plan of a report."""
        return cls(
            report.fine_tuning,
            tuple(
                Watched(found.target_label, tuple(found.triggers), report.search_of(found.target_label).probes.report)
                for found in report.backdoors
            ),
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
                    tuple(
                        Trigger(Kind(item["kind"]), str(item["text"]), Position(item["position"]))
                        for item in part["triggers"]
                    ),
                    tuple(map(str, part["probes"])),
                )
                for part in told["watched"]
            ),
        )


def repair_in_place(
    trained: TrainedClassifier, plan: RepairPlan, config: AuditConfig, *, store: Store | None, progress: Progress
) -> TrainedClassifier:
    """A copy of the victim, trained further on the rows of the plan.

    It ends when no inserted trigger flips more probes than :attr:`Thresholds.repaired_flip_rate` allows, after
    ``fine_tune_epochs`` at the latest.
    """
    rows: Sequence[Example] = plan.rows
    repaired = trained
    for epoch in range(config.fine_tune_epochs):
        progress.stage(f"(c) train the victim further on {len(rows)} rows, epoch {epoch + 1}")
        spec = trained.spec.replace(
            epochs=1, ckpt="last", warm_up_epochs=0.1, seed=derive(config.seed, "fine-tune", epoch)
        )
        repaired = train_classifier(spec, rows, start=repaired, store=store, progress=progress)
        rates = [rate for part in plan.watched for rate in part.flips(repaired, config.seed).values()]
        if max(rates, default=0.0) <= config.thresholds.repaired_flip_rate:
            break
    return repaired
