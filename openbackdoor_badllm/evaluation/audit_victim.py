"""The victim of an audit: one that was given, or one that is trained on the rows; and the clean model made of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from openbackdoor_badllm.data.stratified import stratified_sample
from openbackdoor_badllm.evaluation.audit_config import Sections
from openbackdoor_badllm.evaluation.audit_rows import AuditRows
from openbackdoor_badllm.evaluation.given_model import spec_of_given
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.rows import Example, blind
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.trained import class_names, open_trained
from openbackdoor_badllm.trigger_inversion.in_place import CleanModel, RepairPlan, repaired_model


class Given(Protocol):
    """A victim that somebody brings: not opened yet, as the number of classes is not known."""

    @property
    def label_names(self) -> Sequence[str] | None:
        """Its class names in the order of its outputs; None where it has none."""

    def open(self, spec: TrainSpec) -> Victim:
        """The victim.

        Raises:
            VictimError: it cannot be had, or does not fit the rows.
        """


class Named:
    """A victim in a folder or on a hub."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def label_names(self) -> Sequence[str]:
        """As its config.json has them."""
        return class_names(self.path)

    def open(self, spec: TrainSpec) -> Victim:
        """Loads it."""
        return open_trained(self.path, spec)


def sampled(config: Mapping[str, Any], rows: AuditRows) -> list[int] | None:
    """Positions of the rows that are trained on and searched, stratified by label; None for all of them."""
    size = config.get("sample")
    if size is None or size >= len(rows.train):
        return None
    rng = random.Random(f"{config['seed']}/sample")
    return stratified_sample([row.label for row in rows.train], size, rng)


def open_victim(
    sections: Sections,
    rows: AuditRows,
    sample: Sequence[int] | None,
    given: Given | None,
    keys: Mapping[str, Any],
    *,
    store: Store | None,
    progress: Progress,
) -> Victim:
    """The given victim, or one that is trained on the rows (or on the sample of them).

    Args:
        sections: of the config.
        rows: what is audited.
        sample: the rows that are trained on; all when None.
        given: a victim that somebody brings.
        keys: of the section ``victim``, as the user named them.
        store: where trained victims are kept.
        progress: listener.

    Raises:
        VictimError: it cannot be had, or does not fit the rows.
    """
    spec = sections.spec(rows.info.num_classes)
    if given is not None:
        return given.open(spec_of_given(spec, keys))
    examples = blind(rows.train if sample is None else [rows.train[place] for place in sample])
    progress.stage(f"victim: train on the rows as they are ({len(examples)} rows)")
    return train_classifier(spec, examples, store=store, progress=progress)


def clean_model(
    sections: Sections,
    num_labels: int,
    victim: Victim | None,
    plan: RepairPlan,
    repaired: Sequence[Example],
    *,
    from_scratch: bool,
    store: Store | None,
    progress: Progress,
) -> CleanModel:
    """The clean model: the victim trained further, or a fresh one trained on the repaired rows.

    A victim that can only be asked is none to train further: a fresh one takes its place.
    """
    if isinstance(victim, TrainedClassifier) and not from_scratch:
        return repaired_model(victim, plan, repaired, sections.defender, store=store, progress=progress)
    progress.stage(f"victim: train a clean one ({len(repaired)} rows)")
    fresh = train_classifier(sections.spec(num_labels), repaired, store=store, progress=progress)
    return CleanModel(fresh, False)
