"""``badllmtg``: BadLLM-TG (arXiv 2603.15692) as a defender of OpenBackdoor, thin over :mod:`..pipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from openbackdoor_badllm.config import (
    ALONE_TRAIN,
    ALONE_VICTIM,
    BadLLMTGConfig,
    TrainConfig,
    VictimConfig,
    train_spec,
)
from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.pipeline import check, run_audit
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.embedding import Embedder
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.victims import resolve_auto
from openbackdoor_badllm.trigger_generator.generators import open_generator
from openbackdoor_badllm.trigger_generator.search_estimate import estimate_search
from openbackdoor_badllm.trigger_inversion.in_place import RepairPlan, repaired_model


class BadLLMTG(Defender):
    """Finds the target label, the triggers and the rows that carry them, and repairs the rows and the victim.

    Args:
        **config: the keys of :class:`openbackdoor_badllm.config.BadLLMTGConfig`.

    Attributes:
        report: what the last audit found; None before.
        num_classes: number of classes; taken from the rows when None.
        transcript: file for the dialogue with a language model; set it before the audit.
    """

    clean_rows_needed: ClassVar[bool] = False
    trains_model: ClassVar[bool] = True
    needs_llm: ClassVar[bool] = False  # true of the backends that are LLMs; ``offline`` is none
    stage: ClassVar[str] = "train"

    def __init__(self, **config: Any) -> None:
        self.config = read(BadLLMTGConfig, config, "defender")
        fresh = self.config.from_scratch
        super().__init__(name="badllmtg", pre=fresh, correction=False, metrics=self.config.metrics)
        self.outcome = "cleaned training set" if fresh else "changed model"
        self.changes_model = not fresh
        self.victim = self.config.victim or ALONE_VICTIM
        self.train_config = self.config.train or ALONE_TRAIN
        self.num_classes: int | None = self.victim.num_classes
        self.report: AuditReport | None = None
        self.transcript: Path | None = None

    def attach(self, victim: VictimConfig, train: TrainConfig) -> None:
        """Takes the attacked victim's model and training where the config names none."""
        if self.config.victim is None:
            self.victim = victim
            self.num_classes = victim.num_classes
        if self.config.train is None:
            self.train_config = train

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """Repaired training rows; the very rows that came, untouched, when no backdoor is found.

        Args:
            model: a classifier that was trained on the rows. Of anything else (OpenBackdoor's victim, not trained yet)
                no notice is taken, and a victim is trained on the rows.
            clean_data: not used; the method assumes no clean rows.
            poison_data: training rows ``(text, label, poison_label)``; the third field is never read.

        Returns:
            Rows of the same kind. After a repair their poison field is 0: the defender does not know it.

        Raises:
            DataError: no rows, one class only, or a label outside the classes.
            UserError: the language model that the config names cannot be had.
        """
        rows = list(poison_data or [])
        if not rows:
            raise DataError("The defender 'badllmtg' got no training rows.")
        examples = blind(rows)
        num_labels = self.num_classes or max(example.label for example in examples) + 1
        check(examples, num_labels, self.config.target_label)
        victim = model if isinstance(model, TrainedClassifier) else self._train(examples, num_labels)
        self.report = self.audit(examples, victim, num_labels)
        if not self.report.backdoor:
            return rows
        return [Row(example.text, example.label, 0) for example in self.report.repair.examples]

    def rebuild(
        self, victim: Any, train_rows: Sequence[Any], clean_rows: Sequence[Any], num_labels: int
    ) -> TrainedClassifier:
        """The victim, trained a little further on the repaired rows; as it was, when no backdoor is found.

        Args:
            victim: trained on the poisoned rows (``trained``).
            train_rows: those rows; the third field is never read.
            clean_rows: not used; the method assumes none.
            num_labels: number of classes.
        """
        self.num_classes = num_labels
        trained: TrainedClassifier = victim.trained
        self.correct(model=trained, poison_data=train_rows)
        if self.report is None or not self.report.backdoor or self.config.repair == "none":
            return trained
        plan = RepairPlan.of(self.report)
        return repaired_model(
            trained, plan, self.report.repair.examples, self.config, store=self.store, progress=self.progress
        ).model

    def _train(self, examples: Sequence[Example], num_labels: int) -> TrainedClassifier:
        """A victim of the attacked kind. The host's dev rows would be poisoned ones, so its last epoch is kept."""
        self.progress.stage(f"victim: train on the rows as they are ({len(examples)} rows)")
        path = resolve_auto(self.victim.path)
        spec = train_spec(self.victim, self.train_config, num_labels=num_labels, seed=self.config.seed, path=path)
        return train_classifier(spec.replace(ckpt="last"), examples, store=self.store, progress=self.progress)

    def audit(
        self,
        examples: Sequence[Example],
        victim: Victim,
        num_labels: int,
        *,
        sample: Sequence[int] | None = None,
        deadline: Deadline | None = None,
    ) -> AuditReport:
        """The audit of some rows, with the encoder and the language model of the config.

        Args:
            examples: the training rows.
            victim: trained on them.
            num_labels: number of classes.
            sample: positions of the rows that are searched; see :func:`~openbackdoor_badllm.pipeline.run_audit`.
            deadline: after which no further label is searched.

        Raises:
            UserError: the rows cannot be audited, or the language model or the encoder cannot be had.
        """
        config = self.config
        estimate = estimate_search(config.llm, config.search, examples, labels=config.max_labels)
        if estimate is not None:
            self.progress.stage(f"LLM budget: {estimate}")
        device = "cpu" if self.victim.device == "cpu" else "gpu"
        encoder = Embedder(resolve_auto(self.victim.path), max_len=self.victim.max_len, device=device)
        with open_generator(
            config.llm,
            config.search,
            seed=config.seed,
            cache_dir=self.store.folder.parent if isinstance(self.store, Store) else None,
            transcript_path=self.transcript,
        ) as generator:
            return run_audit(
                examples, victim, encoder,
                num_labels=num_labels, generator=generator, config=config, progress=self.progress,
                sample=sample, deadline=deadline,
            )
