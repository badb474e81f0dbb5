"""One look at a training set: the labels in their order, until one has a backdoor; then the rows that carry it.

The first look is at all rows. A further one is at those that no backdoor found before explains, and at the labels
that have none yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.inversion.counterfactual import forces_kept, honest_words
from openbackdoor_badllm.inversion.explain import explain
from openbackdoor_badllm.inversion.findings import Judgement, SearchResult
from openbackdoor_badllm.inversion.form_seed import form_weights
from openbackdoor_badllm.inversion.form_trial import look_for_form
from openbackdoor_badllm.inversion.generator import Generator, Rewriter, Steered
from openbackdoor_badllm.inversion.helper import Helper, train_helper
from openbackdoor_badllm.inversion.judge import Judge
from openbackdoor_badllm.inversion.report import AuditConfig, Finding
from openbackdoor_badllm.inversion.rewrite_trial import rewritten_copies
from openbackdoor_badllm.inversion.search import Search
from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.inversion.verdict import Control, keep_standing
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.scoring import FloatArray, Victim

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
        helper: a victim trained without the explained rows, where the verdict on a word or a form needed one.
    """

    finding: Finding
    searches: list[SearchResult]
    helper: Helper | None


class Looker:
    """Looks at a scope.

    Args:
        victim: trained on all rows; its loss is the reward.
        train: trains the victims that tell what one without some rows would say.
        generator: proposes triggers.
        config: as in :func:`~openbackdoor_badllm.inversion.audit.audit`.
        progress: listener.
        surprise: of each label in stage (a), where it looked.
    """

    def __init__(
        self,
        victim: Victim,
        train: TrainVictim,
        generator: Generator,
        config: AuditConfig,
        progress: Progress,
        surprise: Mapping[int, float],
    ) -> None:
        self.victim, self.train, self.generator = victim, train, generator
        self.config, self.progress, self.surprise = config, progress, surprise

    def look(self, scope: Scope, labels: Sequence[int]) -> Look:
        """Searches the labels until one has a trigger that stands, or else a form that teaches the label.

        A form is looked for in the most suspicious label only; where a backdoor is known already, in each.

        Args:
            scope: the rows that are looked at.
            labels: at least one, most suspicious first.
        """
        config, searches = self.config, list[SearchResult]()
        for label in labels:
            search = Search(
                self.victim, self.generator, scope.judge_without, scope.examples, scope.weights, config.search,
                seed=config.seed, progress=self.progress, views=scope.views, beside=not scope.first,
            )
            result = search.run(label)
            searches.append(result)
            if result.found:
                controls = keep_standing(
                    self.victim, scope.examples, result, min_margin=config.search.min_margin, seed=config.seed
                )
                finding, helper = self._without_honest_words(scope, result, controls)
                if finding.backdoor:
                    return Look(_in_all_rows(finding, scope.kept), searches, helper)
            if isinstance(self.generator, Steered) and self.generator.stopped() is not None:
                break
        fruitless: list[Finding] = []
        for result in searches[:1] if scope.first else searches:
            finding = Finding(result.target, result)
            helper = self._look_for_form(finding, scope, scope.weights)
            if finding.backdoor:
                return Look(_in_all_rows(finding, scope.kept), searches, helper)
            fruitless.append(finding)
        return Look(_in_all_rows(fruitless[0], scope.kept), searches, None)

    def _without_honest_words(
        self, scope: Scope, result: SearchResult, controls: list[Control]
    ) -> tuple[Finding, Helper | None]:
        """What is left of a search without the words that a victim knows that never saw their rows; and such a victim.

        The rows of a word that is dropped teach the next one, so what is left is asked about again.
        """
        others = [example.label != result.target for example in scope.examples]
        worth_it = bool(result.found)
        finding = Finding(result.target, result)
        helper = None
        while worth_it:
            left = {found.trigger.text for found in result.found}
            kept = [control for control in controls if control.trigger in left]
            finding = Finding(result.target, result, backdoor=bool(left), controls=kept)
            weights = self._explain(finding, scope)
            helper = self._look_for_form(finding, scope, weights)
            inserted = [trigger for trigger in finding.triggers if trigger.is_insertion]
            if not any(trigger.marks_its_rows for trigger in inserted):
                break
            if helper is None:
                self.progress.stage("(b) verdict: train a victim without the rows of the triggers")
                helper = train_helper(self.train, scope.examples, finding.suspects, self.config.seed)
            forces = forces_kept(
                self.victim, helper.logits, inserted, result.probes.report, result.target, self.config.seed
            )
            finding.forces = {trigger.text: share for trigger, share in forces.items()}
            honest = honest_words(result.found, forces, scope.held_out, others, result.target)
            if not honest:
                break
            result.honest.update({trigger.text: share for trigger, share in honest.items()})
            result.found = [found for found in result.found if found.trigger not in honest]
            worth_it = bool(result.found) or finding.form is not None
            finding, helper = Finding(result.target, result), None
        return finding, helper

    def _explain(self, finding: Finding, scope: Scope) -> FloatArray:
        """Writes the explained rows and the rewritten ones into a finding; the weights for a look for its form."""
        config, generator, target = self.config, self.generator, finding.target_label
        finding.explained = explain(self.victim, scope.examples, target, finding.search.found)
        rewriting = next((trigger for trigger in finding.triggers if not trigger.is_insertion), None)
        if rewriting is not None and isinstance(generator, Rewriter):
            finding.rewritten = rewritten_copies(
                generator, rewriting, scope.examples, target, count=config.search.rewrite_copies, seed=config.seed
            )
        return form_weights(finding.rewritten, scope.examples, scope.weights)

    def _look_for_form(self, finding: Finding, scope: Scope, weights: FloatArray) -> Helper | None:
        """Looks for a form, where the inserted triggers leave room for one."""
        inserted = any(trigger.marks_its_rows for trigger in finding.triggers)
        own = sum(example.label == finding.target_label for example in scope.examples)
        if not self.config.search.form or (inserted and len(finding.suspects) >= THIN * own):
            return None
        self.progress.stage("(b) look for rows that share a form")
        return look_for_form(
            finding, scope.examples, scope.held_out, weights, self.victim, self.train, self.config,
            beside_insertions=inserted, sparing=inserted or not scope.first,
            surprise=self.surprise.get(finding.target_label, 0.0),
        )


def _in_all_rows(finding: Finding, kept: npt.NDArray[np.int64]) -> Finding:
    """The same finding with indices among all training rows, where it has those among the rows of a scope."""
    form = finding.form
    return dataclasses.replace(
        finding,
        explained=[dataclasses.replace(row, index=int(kept[row.index])) for row in finding.explained],
        form=form and form.among(kept),
    )
