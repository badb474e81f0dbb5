"""What an audit ends with: frozen records of each backdoor, of the searches and of the repair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.target_identification.dynamics import TargetIdentification
from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.trigger_generator.demonstration import Demonstration
from openbackdoor_badllm.trigger_generator.naming import StyleName
from openbackdoor_badllm.trigger_generator.search_records import Found, LabelSearch
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle
from openbackdoor_badllm.trigger_generator.trigger import Trigger
from openbackdoor_badllm.trigger_generator.unlearning import Unlearning
from openbackdoor_badllm.trigger_inversion.attribution import FlaggedRow
from openbackdoor_badllm.trigger_inversion.repair import Repair
from openbackdoor_badllm.trigger_inversion.repair_check import RepairProbes


class Verdict(str, Enum):
    """What an audit says of the rows, in three degrees."""

    BACKDOOR = "backdoor"
    """Some rows carry a trigger, and their texts contradict their label."""
    SHORTCUT = "shortcut"
    """Something that rows of one label share moves the victim, and their texts fit their label: worth a look."""
    NOTHING = "nothing"
    """Nothing was found."""


@dataclass(frozen=True)
class Backdoor:
    """A backdoor toward one label.

    Attributes:
        target_label: the label that the triggers lead to.
        found: the triggers that were accepted, with their evidence.
        style: the style that some rows of the label share, where it was taken for a trigger.
        unlearning: the test by which the style was accepted.
        flagged: the training rows that carry a trigger or the style.
        rewritten: rows of other labels and what a rewriting trigger makes of them.
        demonstrations: the triggers at work.
        style_name: what the style is called, and by whom.
    """

    target_label: int
    found: tuple[Found, ...] = ()
    style: SharedStyle | None = None
    unlearning: Unlearning | None = None
    flagged: tuple[FlaggedRow, ...] = ()
    rewritten: tuple[tuple[Example, Example], ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    style_name: StyleName | None = None

    @property
    def triggers(self) -> list[Trigger]:
        """The accepted triggers."""
        return [item.trigger for item in self.found]

    @property
    def suspects(self) -> set[int]:
        """Indices of the flagged rows that a repair does not take as they are."""
        return {row.index for row in self.flagged if row.suspect}

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``; the flagged rows go to a file of their own."""
        return {
            "target_label": self.target_label,
            "triggers": [found.to_dict() for found in self.found],
            "style": self.style.to_dict() if self.style else None,
            "style_name": self.style_name.to_dict() if self.style_name else None,
            "unlearning": self.unlearning.to_dict() if self.unlearning else None,
            "flagged_rows": len(self.flagged),
            "demonstrations": [item.to_dict() for item in self.demonstrations],
        }


@dataclass(frozen=True)
class AuditReport:
    """What was found, and the rows to train on instead.

    Attributes:
        backdoors: one for each target label, in the order of the evidence; empty where none was found.
        generator: what proposed triggers.
        identification: stage (a).
        searches: the search of each label, fruitless ones included.
        styles: by label, the test of the style that was found there, accepted or not.
        repair: the repaired rows.
        fine_tuning: the rows on which the trained victim is trained further, where it is repaired in place.
        repair_probes: with what a repaired model is audited.
        llm: what the language model was asked and what that cost, where there is one.
        trace: the confidence in each row's label while the victim learnt; None of a victim that was given.
        seconds: wall time of each stage.
        unsearched: labels that a deadline left unsearched.
        unasked: labels of which a deadline kept the language model from being asked.
    """

    backdoors: tuple[Backdoor, ...]
    generator: str
    identification: TargetIdentification
    searches: tuple[LabelSearch, ...]
    styles: Mapping[int, Unlearning]
    repair: Repair
    fine_tuning: tuple[Example, ...] = field(default=(), repr=False)
    repair_probes: RepairProbes = field(default_factory=RepairProbes, repr=False)
    llm: dict[str, Any] | None = None
    trace: Trace | None = field(default=None, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict)
    unsearched: tuple[int, ...] = ()
    unasked: tuple[int, ...] = ()

    @property
    def backdoor(self) -> bool:
        """Whether there is a backdoor at all."""
        return bool(self.backdoors)

    @property
    def verdict(self) -> Verdict:
        """The answer to the first question."""
        if self.backdoors:
            return Verdict.BACKDOOR
        return Verdict.SHORTCUT if any(search.shortcuts for search in self.searches) else Verdict.NOTHING

    @property
    def target_label(self) -> int:
        """The label of the first backdoor; the most suspicious one when none was found."""
        return self.backdoors[0].target_label if self.backdoors else self.identification.labels[0]

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers of all backdoors."""
        return [trigger for backdoor in self.backdoors for trigger in backdoor.triggers]

    @property
    def flagged(self) -> list[FlaggedRow]:
        """The flagged rows of all backdoors, ascending by index; no row has two labels, so none stands there twice."""
        return sorted((row for backdoor in self.backdoors for row in backdoor.flagged), key=lambda row: row.index)

    def search_of(self, label: int) -> LabelSearch:
        """The search of a label; an empty one where it was not searched."""
        return next((search for search in self.searches if search.label == label), LabelSearch(label))

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``: the keys of the first backdoor, and those of further ones under ``further``."""
        first = self.backdoors[0] if self.backdoors else Backdoor(self.target_label)
        return {
            "backdoor": self.backdoor,
            "generator": self.generator,
            "target_evidence": [item.to_dict() for item in self.identification.evidence],
            "target_method": self.identification.method,
            **first.to_dict(),
            "flagged_rows": len(self.flagged),
            "further": [backdoor.to_dict() for backdoor in self.backdoors[1:]],
            "repair": self.repair.to_dict(),
            "labels_searched": [search.to_dict() for search in self.searches],
            "styles_tested": {str(label): test.to_dict() for label, test in self.styles.items()},
            "labels_not_searched": list(self.unsearched),
            **({"llm": self.llm} if self.llm is not None else {}),
            "seconds": {stage: round(value, 2) for stage, value in self.seconds.items()},
        }
