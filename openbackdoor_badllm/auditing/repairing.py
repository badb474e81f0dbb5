"""The clean model, made when it is asked for: after an audit in Python, or from the folder that an audit left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.errors import ConfigError, DataError, VictimError
from openbackdoor_badllm.evaluation.audit_config import Sections
from openbackdoor_badllm.evaluation.audit_notes import CLEAN_MODEL, UNREPAIRED, repair_notes
from openbackdoor_badllm.evaluation.audit_rows import AuditRows, content_digest, load_rows
from openbackdoor_badllm.evaluation.audit_run import accuracy_line, after_repair
from openbackdoor_badllm.evaluation.audit_victim import Named, clean_model, open_victim, sampled
from openbackdoor_badllm.evaluation.clean_folder import save_clean
from openbackdoor_badllm.evaluation.folder import (
    CONFIG,
    MODEL,
    PLAN,
    REPAIRED,
    RESULTS,
    as_json,
    read_object,
    write_whole,
)
from openbackdoor_badllm.evaluation.measuring import DEFENDED
from openbackdoor_badllm.evaluation.standard_input import STANDARD_INPUT, located
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.rows import Example, blind
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.trigger_inversion.in_place import RepairPlan


@dataclass
class CleanModel:
    """A classifier in which the triggers that were found do nothing any more.

    Attributes:
        model: the transformers classifier.
        tokenizer: its tokenizer.
        label_names: in the order of its outputs.
        flip_rates: share of other texts that each trigger still turns into the target label.
    """

    trained: TrainedClassifier = field(repr=False)
    label_names: tuple[str, ...]
    flip_rates: dict[str, float]
    results: Mapping[str, Any] = field(repr=False)

    @property
    def model(self) -> Any:
        """The transformers classifier."""
        return self.trained.model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.trained.tokenizer

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), classes)``."""
        return self.trained.logits(list(texts))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The class name of each text."""
        return [self.label_names[label] for label in np.argmax(self.logits(texts), axis=1)]

    def save(self, folder: str | Path) -> None:
        """Saves a Hugging Face folder with a model card."""
        save_clean(self.trained, Path(folder), self.label_names, self.results)


@dataclass
class Repairing:
    """What a clean model is made of. Weights are no part of its pickle: they are had again from their source.

    Attributes:
        config: of the audit.
        rows: what was audited.
        plan: of a repair in place.
        repaired: the rows for a model from scratch.
        in_memory: the audited model was handed over in memory.
        cache: where trained victims are kept; nowhere when None.
        victim: the audited model, as long as it is at hand.
    """

    config: dict[str, Any]
    rows: AuditRows
    plan: RepairPlan
    repaired: Sequence[Example]
    in_memory: bool = False
    cache: Path | None = None
    victim: Victim | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "victim": None}

    def make(self, results: Mapping[str, Any], *, from_scratch: bool, progress: Progress) -> CleanModel:
        """Trains the clean model.

        Args:
            results: of the audit, for the model card.
            from_scratch: a fresh model on the repaired rows, instead of the audited one trained further.
            progress: listener.

        Raises:
            VictimError: the audited model cannot be had again.
        """
        texts = [row.text for row in self.rows.train]
        sections = Sections.of(self.config).for_rows(self.config, texts)
        store = Store(self.cache) if self.cache is not None else None
        victim = self.victim
        if victim is None and not from_scratch:
            victim = self._again(sections, store, progress)
        clean, in_place = clean_model(
            sections, self.rows.info.num_classes, victim, self.plan, self.repaired,
            from_scratch=from_scratch, store=store, progress=progress,
        )
        after = after_repair(self.plan, victim, clean, sections)
        flips = after["after_repair_flip_rate"]
        lines = [line for line in results["lines"] if line["name"] != DEFENDED]
        if self.rows.test:
            lines.append(accuracy_line(DEFENDED, clean, self.rows.test, len(self.repaired)))
        kept = [note for note in results["notes"] if not note.startswith(CLEAN_MODEL)]
        notes = [*kept, *repair_notes(after, self.rows.label_names, sections.defender.thresholds.repaired_flip_rate)]
        told = {**results, "in_place": in_place, **after, "lines": lines, "notes": notes}
        return CleanModel(clean, self.rows.label_names, flips, told)

    def _again(self, sections: Sections, store: Store | None, progress: Progress) -> Victim:
        if self.in_memory:
            raise VictimError(
                "The audited model was in memory and is no part of a pickled result: repair before pickling, or ask "
                "for a fresh model with from_scratch=True."
            )
        given = Named(self.config["model"]) if self.config["model"] else None
        sample = sampled(self.config, self.rows)
        return open_victim(
            sections, self.rows, sample, given, self.config["victim"], store=store, progress=progress
        )


def repair_run(folder: Path, *, from_scratch: bool, store: Store, progress: Progress) -> dict[str, Any]:
    """Makes the clean model of an audit that was run without one; the audit's folder gets it.

    Args:
        folder: of the audit.
        from_scratch: a fresh model on the repaired rows, instead of the audited one trained further.
        store: where trained victims are kept.
        progress: listener.

    Returns:
        The results with the figures of the clean model, as the folder has them from then on.

    Raises:
        ConfigError: the folder holds no audit.
        DataError: nothing was found that could be repaired, or the rows are not there any more.
        VictimError: the audited model cannot be had again.
    """
    config, results, plan = (read_object(folder / name) for name in (CONFIG, RESULTS, PLAN))
    if config is None or results is None or "verdict" not in results:
        raise ConfigError(f"The folder '{folder}' holds no finished audit: name the one that 'badllmtg audit' told.")
    if plan is None or not (folder / REPAIRED).is_file():
        raise DataError(f"The audit in '{folder}' found nothing to repair, so there is no clean model to make.")
    files = [file for file in (config["rows"].get("train_file"), *config.get("more_files", ())) if file]
    files = [file for file in files if file != STANDARD_INPUT]
    config = located(config, folder)
    known = (config.get("content") or {}).get("rows")
    if known is not None and content_digest(files) != known:
        raise DataError(f"The rows of the audit in '{folder}' have changed since: run the audit again.")
    names = tuple(map(str, results["label_names"]))
    repaired = load_dataset(
        name="custom", train_file=str((folder / REPAIRED).resolve()), label_names=list(names), dev_rate=0.0,
        test_rate=0.0, drop_empty=True,
    )["train"]
    rows = load_rows(
        {**config["rows"], "label_names": list(names)}, more_files=config.get("more_files", ())
    )
    try:
        made = Repairing(config, rows, RepairPlan.from_dict(plan), blind(repaired), cache=store.folder.parent)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"'{folder / PLAN}' is not as this version writes it: run the audit again.") from error
    clean = made.make(results, from_scratch=from_scratch, progress=progress)
    told = {**clean.results, "files": {"rows": REPAIRED, "model": MODEL}}
    told["notes"] = [note for note in told["notes"] if UNREPAIRED not in note]
    save_clean(clean.trained, folder / MODEL, names, told)
    write_whole(folder / RESULTS, as_json(told))
    return told
