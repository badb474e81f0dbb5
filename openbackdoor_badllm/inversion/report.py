"""What an audit is told and what it ends with: its config, a demonstration, the finding of a label, the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from openbackdoor_badllm.inversion.explain import Explained
from openbackdoor_badllm.inversion.findings import SearchConfig, SearchResult
from openbackdoor_badllm.inversion.form import Form, Generalisation
from openbackdoor_badllm.inversion.probe import Try
from openbackdoor_badllm.inversion.repair import Repair
from openbackdoor_badllm.inversion.target import Nomination
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.inversion.verdict import Control
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.section import Count, Natural, Section, Seed, Share, Whole
from openbackdoor_badllm.training.tracing import Trace


class AuditConfig(Section):
    """How an audit is made. Its fields are keys of the config's ``defender``."""

    place: ClassVar[str] = "defender"

    target: Literal["robust", "paper", "none"] = "robust"
    """Stage (a): ``robust``, ``paper`` (Eq. 4 to the letter), or ``none``: no trace, no suspicion of any row, the
    labels are searched in their order (an ablation of the paper)."""
    target_label: Natural | None = None
    """Skip stage (a) and take this label."""
    max_labels: Count = 4
    """Labels searched at most, most suspicious first, until one has a trigger."""
    max_backdoors: Count = 3
    """Backdoors looked for, one after the other, each with another target label; 1 stops at the first. An LLM looks
    for the first one only: the others are mined for, which costs no calls."""
    trace_points: Annotated[Whole, Field(ge=4)] = 20
    """Points of the confidence trace."""
    trace_rows: Annotated[Whole, Field(ge=20)] = 1000
    """Rows watched by the trace at most; more are drawn at random."""
    search: SearchConfig = SearchConfig()
    """Stage (b)."""
    repair: Literal["relabel", "purge", "stamp-non-target", "paper", "none"] = "relabel"
    """Stage (c): ``relabel``, ``purge``, ``stamp-non-target``, ``paper`` (Eq. 9) or ``none``."""
    stamp_share: Share = 0.1
    """Share of the unexplained rows that ``relabel`` and ``purge`` add with the trigger and their own label."""
    seed: Seed = 42
    """Seed of everything that is drawn; no global generator is touched."""


@dataclass(frozen=True)
class Demonstration:
    """A probe text with the trigger, and what the victim said of it before and after."""

    text: str
    triggered: str
    label_before: int
    label_after: int
    probability_before: float
    probability_after: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "text": self.text,
            "triggered": self.triggered,
            "label_before": self.label_before,
            "label_after": self.label_after,
            "target_probability_before": round(self.probability_before, 4),
            "target_probability_after": round(self.probability_after, 4),
        }


@dataclass
class Finding:
    """What was found for one label.

    Attributes:
        target_label: the label that the triggers lead to.
        search: the search for them.
        backdoor: whether a trigger held against its controls, or a form taught the label.
        counterfactual: flip rate of each trigger on a model of the same kind trained without the explained rows. A
            trigger of an attacker loses its force there; an honest class word keeps it.
        forces: the share of its force that each inserted trigger keeps there (:mod:`.counterfactual`).
        form: the form that some rows of the label share, where it was taken for a trigger.
        generalisation: whether that form teaches the label; it counts as a backdoor only then.
        explained: the training rows that carry a trigger or the form.
        rewritten: rows of other labels and what a rewriting trigger makes of them.
    """

    target_label: int
    search: SearchResult
    backdoor: bool = False
    controls: list[Control] = field(default_factory=list)
    counterfactual: dict[str, float] = field(default_factory=dict)
    forces: dict[str, float] = field(default_factory=dict)
    form: Form | None = None
    generalisation: Generalisation | None = None
    explained: list[Explained] = field(default_factory=list)
    rewritten: list[tuple[Example, Example]] = field(default_factory=list)
    demonstrations: list[Demonstration] = field(default_factory=list)

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers that stand."""
        return [found.trigger for found in self.search.found]

    @property
    def suspects(self) -> set[int]:
        """Indices of the explained rows that a repair does not take as they are."""
        return {row.index for row in self.explained if row.suspect}

    @property
    def alike(self) -> set[int]:
        """Indices of the other rows that read like the form."""
        return set(self.form.alike) - self.suspects if self.form else set()

    @property
    def opposed(self) -> set[int]:
        """Indices of the rows of other labels that read like the form."""
        return set(self.form.opposed) if self.form else set()

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``; the explained rows go to a file of their own."""
        return {
            "target_label": self.target_label,
            "triggers": [found.to_dict() for found in self.search.found],
            "form": self.form.to_dict() if self.form else None,
            "form_generalisation": self.generalisation.to_dict() if self.generalisation else None,
            "controls": [control.to_dict() for control in self.controls],
            "counterfactual_flip_rate": {key: round(v, 4) for key, v in self.counterfactual.items()},
            "force_kept": {key: round(v, 4) for key, v in self.forces.items()},
            "explained_rows": len(self.explained),
            "demonstrations": [item.to_dict() for item in self.demonstrations],
        }


@dataclass
class Audit:
    """What was found, and the rows to train on instead.

    Attributes:
        findings: one for each backdoor, in the order in which they were found, each with a label of its own; where
            there is none, the look at the most suspicious label. Never empty.
        searches: the search of each label that was looked at, fruitless ones included.
        llm: what the language model was asked and what that cost, where there is one.
        trace: how sure the probe was of the watched rows while it learnt, where stage (a) looked.
        watched: the rows that the trace watched: indices of the training rows, ascending, shape ``(n,)``.
        tries: the trainings of the probe, and how much each has learnt; empty where it was not watched.
    """

    findings: list[Finding]
    generator: str
    nomination: Nomination | None
    searches: list[SearchResult]
    repair: Repair = field(default_factory=lambda: Repair("none"))
    llm: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    trace: Trace | None = field(default=None, repr=False)
    watched: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    tries: list[Try] = field(default_factory=list)

    @property
    def blind(self) -> bool:
        """Whether the best probe was no better than one answer for everything: then nothing can be found with it."""
        return bool(self.tries) and all(tried.collapsed for tried in self.tries)

    @property
    def first(self) -> Finding:
        """The finding that was made first; of a training set with one backdoor the only one."""
        return self.findings[0]

    @property
    def backdoor(self) -> bool:
        """Whether there is a backdoor at all."""
        return self.first.backdoor

    @property
    def target_label(self) -> int:
        """The label of the first backdoor; the most suspicious one when none was found."""
        return self.first.target_label

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers of all findings."""
        return [trigger for finding in self.findings for trigger in finding.triggers]

    @property
    def explained(self) -> list[Explained]:
        """The explained rows of all findings, ascending by index; no row has two labels, so none stands there twice."""
        return sorted((row for finding in self.findings for row in finding.explained), key=lambda row: row.index)

    @property
    def suspects(self) -> set[int]:
        """Indices of the explained rows that a repair does not take as they are."""
        return set().union(*(finding.suspects for finding in self.findings))

    @property
    def alike(self) -> set[int]:
        """Indices of the rows that read like the form of their label and are not explained."""
        return set().union(*(finding.alike for finding in self.findings)) - self.suspects

    @property
    def opposed(self) -> set[int]:
        """Indices of the rows that read like the form of another label."""
        return set().union(*(finding.opposed for finding in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``: the keys of the first finding, and those of further ones under ``further``."""
        return {
            "backdoor": self.backdoor,
            "generator": self.generator,
            "target_evidence": [item.to_dict() for item in self.nomination.evidence] if self.nomination else [],
            "target_method": self.nomination.method if self.nomination else "given",
            **self.first.to_dict(),
            "explained_rows": len(self.explained),
            "probe": [tried.to_dict() for tried in self.tries],
            "blind": self.blind,
            "further": [finding.to_dict() for finding in self.findings[1:]],
            "repair": self.repair.to_dict(),
            "labels_searched": [
                {
                    "label": result.target,
                    "triggers": len(result.found),
                    "best_reward": None if not result.history else round(result.best_reward, 4),
                    "iterations": result.iterations,
                    "honest_words": {word: round(kept, 4) for word, kept in result.honest.items()},
                }
                for result in self.searches
            ],
            **({"llm": self.llm} if self.llm is not None else {}),
            "seconds": {stage: round(value, 2) for stage, value in self.seconds.items()},
        }
