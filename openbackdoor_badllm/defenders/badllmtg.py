"""``badllmtg``: BadLLM-TG (arXiv 2603.15692) as a defender of OpenBackdoor, thin over :mod:`..inversion`."""

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
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.inversion.audit import audit
from openbackdoor_badllm.inversion.estimate import estimate_search
from openbackdoor_badllm.inversion.generators import open_generator
from openbackdoor_badllm.inversion.report import Audit
from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.embedding import Embedder
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.tracing import TraceRequest
from openbackdoor_badllm.training.victims import resolve_auto

FINE_TUNE_EPOCHS = 2


class BadLLMTG(Defender):
    """Finds the target label, the triggers and the rows that carry them, and returns repaired training rows.

    Args:
        **config: the keys of :class:`openbackdoor_badllm.config.BadLLMTGConfig`.

    Attributes:
        report: what the last :meth:`correct` found; None before.
        num_classes: number of classes; taken from the rows when None.
        transcript: file for the dialogue with a language model; set it before :meth:`correct`.
    """

    clean_rows_needed: ClassVar[bool] = False
    trains_model: ClassVar[bool] = True
    needs_llm: ClassVar[bool] = False  # true of the backends that are LLMs; ``offline`` is none
    stage: ClassVar[str] = "train"
    outcome: str = "cleaned training set"

    def __init__(self, **config: Any) -> None:
        self.config = read(BadLLMTGConfig, config, "defender")
        super().__init__(name="badllmtg", pre=not self.config.in_place, correction=False, metrics=self.config.metrics)
        if self.config.in_place:
            self.outcome, self.changes_model = "changed model", True
        self.victim = self.config.victim or ALONE_VICTIM
        self.train_config = self.config.train or ALONE_TRAIN
        self.num_classes: int | None = self.victim.num_classes
        self.report: Audit | None = None
        self.transcript: Path | None = None

    def attach(self, victim: VictimConfig, train: TrainConfig) -> None:
        """Takes the attacked victim's model and training for the probe where the config names none."""
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
            model: a classifier that was trained on the rows: its loss is the search's reward then. Of anything else
                (OpenBackdoor's victim, not trained yet) no notice is taken, and the probe's loss is the reward. The
                probe is trained in any case, because Eq. 4 needs its training.
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
        path = resolve_auto(self.victim.path)
        spec = train_spec(self.victim, self.train_config, num_labels=num_labels, seed=self.config.seed, path=path)
        # Its own dev rows would be poisoned ones, so the probe always keeps its last epoch.
        spec = spec.replace(ckpt="last", seed=derive(self.config.seed, "probe"))

        def train(
            examples: Sequence[Example],
            *,
            balanced: bool,
            trace: TraceRequest | None,
            length: int = 1,
            attempt: int = 0,
        ) -> TrainedClassifier:
            seed = derive(spec.seed, "attempt", attempt) if attempt else spec.seed
            wanted = spec.replace(balanced=balanced, epochs=spec.epochs * length, seed=seed)
            return train_classifier(wanted, examples, trace=trace, store=self.store, progress=self.progress)

        estimate = estimate_search(self.config.llm, self.config.search, examples, labels=self.config.max_labels)
        if estimate is not None:
            self.progress.stage(f"LLM budget: {estimate}")
        with open_generator(
            self.config.llm,
            self.config.search,
            seed=self.config.seed,
            cache_dir=self.store.folder.parent if isinstance(self.store, Store) else None,
            transcript_path=self.transcript,
        ) as generator:
            self.report = audit(
                examples,
                num_labels=num_labels,
                train=train,
                embedder=Embedder(path, max_len=self.victim.max_len, device=spec.device),
                generator=generator,
                victim=model if isinstance(model, TrainedClassifier) else None,
                config=self.config,
                progress=self.progress,
            )
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
        repaired = self.correct(model=trained, poison_data=train_rows)
        if self.report is None or not self.report.backdoor:
            return trained
        config = self.config.fine_tune or self.train_config.replace(epochs=FINE_TUNE_EPOCHS, ckpt="last")
        spec = train_spec(self.victim, config, num_labels=num_labels, seed=self.config.seed, path=trained.spec.path)
        spec = spec.replace(ckpt="last", seed=derive(self.config.seed, "fine-tune"))
        self.progress.stage(f"(c) repair in place: train the victim further on {len(repaired)} rows")
        return train_classifier(spec, blind(repaired), start=trained, store=self.store, progress=self.progress)
