"""One look at a training set: the labels in their order, until one has a backdoor; then the rows that carry it.

The first look is at all rows. A further one is at those that no backdoor found before explains, and at the labels
that have none yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.engine.progress import Progress
from openbackdoor_badllm.engine.scoring import FloatArray, Victim
from openbackdoor_badllm.inversion.explain import explain
from openbackdoor_badllm.inversion.findings import Judgement, SearchResult
from openbackdoor_badllm.inversion.form_seed import form_weights
from openbackdoor_badllm.inversion.form_trial import look_for_form
from openbackdoor_badllm.inversion.generator import Generator, Rewriter, Steered
from openbackdoor_badllm.inversion.helper import Helper
from openbackdoor_badllm.inversion.judge import Judge
from openbackdoor_badllm.inversion.report import AuditConfig, Finding
from openbackdoor_badllm.inversion.rewrite_trial import rewritten_copies
from openbackdoor_badllm.inversion.search import Search
from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.inversion.trigger import Position
from openbackdoor_badllm.inversion.verdict import keep_standing
from openbackdoor_badllm.rows import Example

THIN = 0.1  # inserted triggers in a smaller share of the target's rows may be marks of a form ("thou")


class Scope(NamedTuple):
    """The rows that are looked at, with what is known of each.

    Attributes:
        kept: their indices among all training rows, ascending, shape ``(n,)``.
        weights: suspicion of each, shape ``(n,)``.
        views: other rankings of them, each of shape ``(n,)``.
        held_out: the judge's held-out probabilities, shape ``(n, num_labels)``.
        first: whether these are all rows, and nothing is known of any of them.
    """

    judge: Judge
    kept: npt.NDArray[np.int64]
    examples: list[Example]
    weights: FloatArray
    views: list[FloatArray]
    held_out: FloatArray
    first: bool

    @classmethod
    def everything(
        cls, judge: Judge, weights: FloatArray, views: list[FloatArray], held_out: FloatArray
    ) -> Scope:
        """All training rows."""
        return cls(judge, np.arange(len(judge.examples)), judge.examples, weights, views, held_out, True)

    def leave_out(self, rows: Collection[int]) -> Scope:
        """Without some rows, given by their indices among all training rows."""
        places = np.flatnonzero(~np.isin(self.kept, list(rows)))
        return Scope(
            self.judge,
            self.kept[places],
            [self.examples[place] for place in places],
            self.weights[places],
            [view[places] for view in self.views],
            self.held_out[places],
            False,
        )

    def judge_without(self, left_out: npt.NDArray[np.bool_]) -> Judgement:
        """A judge that never saw the rows marked in the mask, shape ``(n,)``, nor those that are out of scope."""
        mask = np.ones(len(self.judge.examples), dtype=bool)
        mask[self.kept] = left_out
        return self.judge.without(mask)


class Look(NamedTuple):
    """What a look ends with.

    Attributes:
        finding: of the first label that has a backdoor, else of the most suspicious one; indices count in all rows.
        searches: of all labels that were searched.
        helper: a victim trained without the explained rows, where the look for a form made one.
    """

    finding: Finding
    searches: list[SearchResult]
    helper: Helper | None


def look(
    scope: Scope,
    labels: Sequence[int],
    victim: Victim,
    train: TrainVictim,
    generator: Generator,
    config: AuditConfig,
    progress: Progress,
) -> Look:
    """Searches the labels until one has a trigger that stands against its controls, or a form that teaches the label.

    Args:
        scope: the rows that are looked at.
        labels: at least one, most suspicious first.
        victim: trained on all rows; its loss is the reward.
        train: trains the two victims that tell whether a form teaches the label.
        generator: proposes triggers.
        config: as in :func:`~openbackdoor_badllm.inversion.audit.audit`.
        progress: listener.
    """
    finding, searches = _search(scope, labels, victim, generator, config, progress)
    examples, target, weights = scope.examples, finding.target_label, scope.weights
    if finding.backdoor:
        finding.explained = explain(victim, examples, target, finding.search.found)
        rewriting = next((trigger for trigger in finding.triggers if not trigger.is_insertion), None)
        if rewriting is not None and isinstance(generator, Rewriter):
            finding.rewritten = rewritten_copies(
                generator, rewriting, examples, target, count=config.search.rewrite_copies, seed=config.seed
            )
        weights = form_weights(finding.rewritten, examples, weights)
    inserted = any(trigger.is_insertion and trigger.position is not Position.FRONT for trigger in finding.triggers)
    own = sum(example.label == target for example in examples)
    helper = None
    if config.search.form and (not inserted or len(finding.sure_rows) < THIN * own):
        progress.stage("(b) look for rows that share a form")
        helper = look_for_form(
            finding, examples, scope.held_out, weights, train, config,
            beside_insertions=inserted, sparing=inserted or not scope.first,
        )
    return Look(_in_all_rows(finding, scope.kept), searches, helper)


def _search(
    scope: Scope,
    labels: Sequence[int],
    victim: Victim,
    generator: Generator,
    config: AuditConfig,
    progress: Progress,
) -> tuple[Finding, list[SearchResult]]:
    """The first label with a trigger that stands, or else the most suspicious one, and all searches."""
    searches: list[SearchResult] = []
    for label in labels:
        search = Search(
            victim, generator, scope.judge_without, scope.examples, scope.weights, config.search,
            seed=config.seed, progress=progress, views=scope.views,
        )
        result = search.run(label)
        searches.append(result)
        controls = []
        if result.found:
            controls = keep_standing(
                victim, scope.examples, result, min_margin=config.search.min_margin, seed=config.seed
            )
        if result.found:  # what still stands
            return Finding(label, result, backdoor=True, controls=controls), searches
        if isinstance(generator, Steered) and generator.stopped() is not None:
            break
    return Finding(labels[0], searches[0]), searches


def _in_all_rows(finding: Finding, kept: npt.NDArray[np.int64]) -> Finding:
    """The same finding with indices among all training rows, where it has those among the rows of a scope."""
    form = finding.form
    return dataclasses.replace(
        finding,
        explained=[dataclasses.replace(row, index=int(kept[row.index])) for row in finding.explained],
        form=form and dataclasses.replace(form, rows=tuple(int(kept[row]) for row in form.rows)),
    )
