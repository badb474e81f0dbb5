"""Stage (b) as one step: every label is searched, and the evidence decides which have a backdoor.

Statistics come first, at no cost: inserted triggers by a race of mined n-grams, styles by the rows that share one. An
LLM, where there is one, is then asked about all labels in one conversation. It adds to what statistics found and takes
nothing away; a run in which it gives nothing ends as the run without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.trigger_generator.conversation import Conversation
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
from openbackdoor_badllm.trigger_generator.naming import StyleName, name_style, named_by_marks
from openbackdoor_badllm.trigger_generator.proposals import Generator, OfflineGenerator, Rewriter, Steered
from openbackdoor_badllm.trigger_generator.rewriting.likeness import style_weights
from openbackdoor_badllm.trigger_generator.rewriting.rewrite_trial import rewritten_copies
from openbackdoor_badllm.trigger_generator.search import search_label
from openbackdoor_badllm.trigger_generator.search_records import Found, LabelSearch
from openbackdoor_badllm.trigger_generator.shared_style import StyleSpace
from openbackdoor_badllm.trigger_generator.style_search import TestedStyle, search_style
from openbackdoor_badllm.trigger_generator.unlearning import Unlearning


@dataclass(frozen=True)
class LabelFinding:
    """What was found for one label: inserted or rewriting triggers, a style, or both.

    Attributes:
        label: the target label.
        found: accepted triggers.
        style: an accepted style.
        rewritten: rows of other labels and what a rewriting trigger makes of them.
        probes: texts of other labels that took no part in the search.
        style_name: what the style is called, and by whom.
    """

    label: int
    found: tuple[Found, ...]
    style: TestedStyle | None
    rewritten: tuple[tuple[Example, Example], ...]
    probes: tuple[str, ...]
    style_name: StyleName | None = None


@dataclass(frozen=True)
class Findings:
    """What stage (b) ends with; ``labels`` holds one entry for each backdoor.

    ``unsearched`` and ``unasked`` are the labels that the deadline left: not searched at all, and not asked of the
    language model.
    """

    labels: tuple[LabelFinding, ...]
    searches: tuple[LabelSearch, ...]
    styles: dict[int, Unlearning] = field(default_factory=dict)
    generator: str = "offline"
    llm: dict[str, Any] | None = None
    unsearched: tuple[int, ...] = ()
    unasked: tuple[int, ...] = ()


def find_backdoors(
    victim: Victim,
    evidence: RowEvidence,
    labels: Sequence[int],
    generator: Generator | None,
    config: AuditConfig,
    progress: Progress,
    deadline: Deadline | None = None,
) -> Findings:
    """Searches the labels.

    Args:
        victim: its loss is the reward.
        evidence: the training rows.
        labels: most suspicious first.
        generator: an LLM or the random control; None for statistics alone.
        config: how.
        progress: listener.
        deadline: once it has passed, no label but the first is begun, and no question is asked.

    Raises:
        UserError: the LLM gave nothing, and it is required, or the strategy rests on it alone.
    """
    deadline = deadline or Deadline()
    steered = generator if isinstance(generator, Steered) else None
    miner = OfflineGenerator(config.search.candidates, config.search.min_rows)
    alone = steered is not None and config.search.strategy in ("paper", "random")
    stage = _Stage(victim, evidence, config, progress)
    for place, label in enumerate(labels):
        if place and deadline.passed:
            break
        stage.look(label, steered if alone and steered is not None else miner)
    kept = _strongest_first(stage.findings(), evidence)
    llm = steered if isinstance(steered, LLMGenerator) else None
    unasked: tuple[int, ...] = ()
    if llm is not None and alone:
        llm.kept = sum(len(search.found) for search in stage.searches.values())
    elif steered is not None and deadline.passed:
        unasked = tuple(labels)
    elif steered is not None:
        if llm is not None:
            stage.converse(llm, deadline)
        else:
            stage.go_on(steered)
        known = {finding.label for finding in kept}
        added = _strongest_first(stage.findings(), evidence)
        kept = sorted(added, key=lambda finding: finding.label not in known)  # stable: by strength within
    return Findings(
        tuple(kept[: config.max_backdoors]), tuple(stage.searches.values()),
        {label: tested.test for label, tested in stage.tested.items()},
        steered.name if steered is not None else miner.name,
        llm.report() if llm is not None else None,
        tuple(label for label in labels if label not in stage.searches), unasked,
    )


class _Stage:
    """The searches of all labels; the style space is made once, when it is first needed."""

    def __init__(self, victim: Victim, evidence: RowEvidence, config: AuditConfig, progress: Progress) -> None:
        self.victim, self.evidence, self.config, self.progress = victim, evidence, config, progress
        self.searches: dict[int, LabelSearch] = {}
        self.tested: dict[int, TestedStyle] = {}
        self.rewritten: dict[int, list[tuple[Example, Example]]] = {}
        self.names: dict[int, StyleName] = {}
        self.space: StyleSpace | None = None

    def look(self, label: int, generator: Generator) -> None:
        """One label: its triggers, and its style where the triggers leave room for one."""
        self.searches[label] = search_label(
            label, self.victim, generator, self.evidence, self.config, self.progress
        )
        self._rewrite(label, generator)
        self._look_for_style(label)

    def converse(self, llm: LLMGenerator, deadline: Deadline) -> None:
        """Asks a language model about all labels, and for the names of styles."""
        before = dict(self.searches)
        styles = {label: tested.style for label, tested in self.tested.items() if tested.accepted}
        Conversation(
            llm, self.victim, self.evidence, self.config, self.progress, self.searches, styles
        ).run(deadline)
        for label, search in self.searches.items():
            if search is not before[label] and self._rewrite(label, llm) and label not in styles:
                self._look_for_style(label)
        for label, tested in self.tested.items():
            if tested.accepted and not deadline.passed:
                probes = self.searches[label].probes.report
                self.names[label] = name_style(tested.style, self.evidence, self.victim, llm, probes, self.config)

    def go_on(self, generator: Generator) -> None:
        """Every search once more with another generator, which adds to what was found."""
        for label, search in self.searches.items():
            self.searches[label] = search_label(
                label, self.victim, generator, self.evidence, self.config, self.progress, search
            )

    def findings(self) -> list[LabelFinding]:
        """What was found for each label, those without anything left out."""
        found = []
        for label, search in self.searches.items():
            tested = self.tested.get(label)
            style = tested if tested is not None and tested.accepted else None
            triggers = _without_marks(search.found, style, self.evidence, self.config.thresholds.style_mark)
            if triggers or style is not None:
                name = self.names.get(label) or (named_by_marks(style.style.marks) if style is not None else None)
                rewritten = tuple(self.rewritten.get(label, ()))
                found.append(LabelFinding(label, triggers, style, rewritten, search.probes.report, name))
        return found

    def _rewrite(self, label: int, generator: Generator) -> bool:
        """Copies of rows in the rewriting trigger of a label; whether there is one."""
        found = self.searches[label].found
        rewriting = next((item.trigger for item in found if not item.trigger.is_insertion), None)
        if rewriting is None or not isinstance(generator, Rewriter):
            return False
        self.rewritten[label] = rewritten_copies(
            generator, rewriting, self.evidence, label,
            count=self.config.search.rewrite_copies, seed=self.config.seed,
        )
        return True

    def _look_for_style(self, label: int) -> None:
        if not self.config.search.style:
            return
        evidence, own = self.evidence, self.evidence.labels == label
        marking = [item.trigger for item in self.searches[label].found if item.trigger.marks_its_rows]
        carrying = np.array(
            [any(trigger.carries(example.text) for trigger in marking) for example in evidence.examples], dtype=bool
        )
        if (carrying & own).sum() < self.config.thresholds.style_beside * own.sum():
            carrying[:] = False  # so few may be marks of the style
        self.progress.stage(f"(b) rows of label {label} that share a style")
        if self.space is None:
            self.space = StyleSpace([example.text for example in evidence.examples], self.config.seed)
        weights = style_weights(self.rewritten.get(label, []), evidence.examples, evidence.weights)
        tested = search_style(label, self.victim, evidence, self.space, weights, carrying, self.config)
        if tested is not None:
            self.tested[label] = tested


def _without_marks(
    found: Sequence[Found], style: TestedStyle | None, evidence: RowEvidence, share: float
) -> tuple[Found, ...]:
    """Leaves out inserted triggers whose rows mostly share the accepted style: they are marks of it.

    One that most rows of the style carry is no mark: it is what makes them alike.
    """
    if style is None:
        return tuple(found)
    inside = set(style.style.rows)
    kept = []
    for item in found:
        rows = [
            index for index, example in enumerate(evidence.examples)
            if example.label == style.style.label and item.trigger.carries(example.text)
        ]
        both = len(inside.intersection(rows))
        if both < share * len(rows) or both >= share * len(inside) or not rows:
            kept.append(item)
    return tuple(kept)


def _strongest_first(findings: Sequence[LabelFinding], evidence: RowEvidence) -> list[LabelFinding]:
    return sorted(findings, key=lambda finding: -_strength(finding, evidence))


def _strength(finding: LabelFinding, evidence: RowEvidence) -> float:
    """Rows that speak for a backdoor and contradict their label: by them the backdoors are ordered."""
    rows = sum(item.target_rows * item.contradicted for item in finding.found)
    if finding.style is not None:
        rows += float(evidence.contradicted[list(finding.style.style.rows)].sum())
    return rows
