"""Stage (b) as one step: every label is searched, and the evidence decides which have a backdoor.

Statistics come first, at no cost: inserted triggers by a race of mined n-grams, styles by the rows that share one. An
LLM is asked where they found nothing, label by label in the order of suspicion.
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
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
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
    """

    label: int
    found: tuple[Found, ...]
    style: TestedStyle | None
    rewritten: tuple[tuple[Example, Example], ...]
    probes: tuple[str, ...]


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
        deadline: once it has passed, no label but the first is begun.
    """
    deadline = deadline or Deadline()
    steered = generator if isinstance(generator, Steered) else None
    miner = OfflineGenerator(config.search.candidates, config.search.min_rows)
    alone = steered is not None and config.search.strategy in ("paper", "random")
    first = steered if alone and steered is not None else miner
    stage = _Stage(victim, evidence, config, progress)
    findings: list[LabelFinding | None] = []
    for label in labels:
        if findings and deadline.passed:
            break
        findings.append(stage.look(label, first))
    unsearched = tuple(labels[len(findings) :])
    unasked: tuple[int, ...] = ()
    if steered is not None and not alone and not any(findings):
        for place, label in enumerate(labels):
            if deadline.passed:
                unasked = tuple(labels[place:])
                break
            progress.stage(f"(b) ask the language model about label {label}")
            findings.append(stage.look(label, steered, style=False))
            if findings[-1] is not None or steered.stopped() is not None:
                break
    kept = [finding for finding in findings if finding is not None]
    kept.sort(key=lambda finding: -_strength(finding, evidence))
    return Findings(
        tuple(kept[: config.max_backdoors]), tuple(stage.searches), stage.tested,
        steered.name if steered is not None else miner.name,
        steered.report() if isinstance(steered, LLMGenerator) else None,
        unsearched, unasked,
    )


class _Stage:
    """The searches of all labels; the style space is made once, when it is first needed."""

    def __init__(self, victim: Victim, evidence: RowEvidence, config: AuditConfig, progress: Progress) -> None:
        self.victim, self.evidence, self.config, self.progress = victim, evidence, config, progress
        self.searches: list[LabelSearch] = []
        self.tested: dict[int, Unlearning] = {}
        self.space: StyleSpace | None = None

    def look(self, label: int, generator: Generator, *, style: bool = True) -> LabelFinding | None:
        """One label: its triggers, and its style where the triggers leave room for one."""
        evidence, config = self.evidence, self.config
        search = search_label(label, self.victim, generator, evidence, config, self.progress)
        self.searches.append(search)
        rewritten: list[tuple[Example, Example]] = []
        rewriting = next((item.trigger for item in search.found if not item.trigger.is_insertion), None)
        if rewriting is not None and isinstance(generator, Rewriter):
            rewritten = rewritten_copies(
                generator, rewriting, evidence.examples, label, count=config.search.rewrite_copies, seed=config.seed
            )
        tested = self._style(label, search, rewritten) if style or rewriting is not None else None
        accepted = tested if tested is not None and tested.accepted else None
        found = _without_marks(search.found, accepted, evidence, config.thresholds.style_mark)
        if not found and accepted is None:
            return None
        return LabelFinding(label, found, accepted, tuple(rewritten), search.probes.report)

    def _style(
        self, label: int, search: LabelSearch, rewritten: Sequence[tuple[Example, Example]]
    ) -> TestedStyle | None:
        evidence, own = self.evidence, self.evidence.labels == label
        marking = [item.trigger for item in search.found if item.trigger.marks_its_rows]
        carrying = np.array(
            [any(trigger.carries(example.text) for trigger in marking) for example in evidence.examples], dtype=bool
        )
        if not self.config.search.style:
            return None
        if (carrying & own).sum() < self.config.thresholds.style_beside * own.sum():
            carrying[:] = False  # so few may be marks of the style
        self.progress.stage(f"(b) rows of label {label} that share a style")
        if self.space is None:
            self.space = StyleSpace([example.text for example in evidence.examples], self.config.seed)
        weights = style_weights(rewritten, evidence.examples, evidence.weights)
        tested = search_style(label, self.victim, evidence, self.space, weights, carrying, self.config)
        if tested is not None:
            self.tested[label] = tested.test
        return tested


def _without_marks(
    found: Sequence[Found], style: TestedStyle | None, evidence: RowEvidence, share: float
) -> tuple[Found, ...]:
    """Leaves out inserted triggers whose rows mostly share the accepted style: they are marks of it."""
    if style is None:
        return tuple(found)
    inside = set(style.style.rows)
    kept = []
    for item in found:
        rows = [
            index for index, example in enumerate(evidence.examples)
            if example.label == style.style.label and item.trigger.carries(example.text)
        ]
        if not rows or len(inside.intersection(rows)) < share * len(rows):
            kept.append(item)
    return tuple(kept)


def _strength(finding: LabelFinding, evidence: RowEvidence) -> float:
    """Rows that speak for a backdoor and contradict their label: by them the backdoors are ordered."""
    rows = sum(item.target_rows * item.contradicted for item in finding.found)
    if finding.style is not None:
        rows += float(evidence.contradicted[list(finding.style.style.rows)].sum())
    return rows
