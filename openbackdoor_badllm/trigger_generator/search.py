"""Stage (b): the search for the triggers of one label, steered by the victim's reward (paper, section 2.4).

agent = the generator; state = probe rows of D_ntgt; action = the probe rows with a proposed trigger; reward = -CE of
the victim toward the target label; update = the generator sees its scored history. After each accepted trigger the rows
that carry it are set aside and the rest is searched again, until nothing more stands out.

Statistics propose first, at no cost. What an LLM proposes afterwards goes on with the search of its label.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.trigger_generator.acceptance import Candidate, Reason, least_flip_rate, refusal
from openbackdoor_badllm.trigger_generator.candidate_measure import CandidateMeasure
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.fitting import as_written, complete, describe, minimise
from openbackdoor_badllm.trigger_generator.proposals import Evidence, Generator, Rewriter, Scored, Shown, Steered
from openbackdoor_badllm.trigger_generator.race import Raced, race
from openbackdoor_badllm.trigger_generator.readable import with_room
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward, draw_probes
from openbackdoor_badllm.trigger_generator.rewriting.rewrite_trial import RewriteTrial, show
from openbackdoor_badllm.trigger_generator.search_records import Found, LabelSearch
from openbackdoor_badllm.trigger_generator.significance import tail_p
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all

SHOWN = 2  # probes whose logits an LLM, or a reader of the transcript, is shown with each proposal


def search_label(
    label: int,
    victim: Classifier,
    generator: Generator,
    evidence: RowEvidence,
    config: AuditConfig,
    progress: Progress,
    earlier: LabelSearch | None = None,
) -> LabelSearch:
    """Looks for the triggers of one label.

    Args:
        label: the label under suspicion.
        victim: its loss is the reward.
        generator: proposes triggers.
        evidence: the training rows.
        config: how.
        progress: listener.
        earlier: a search of the label that goes on; what it found stays found.
    """
    if earlier is not None:
        further = _Search(
            label, victim, generator, evidence, config, progress, earlier.probes, list(earlier.found),
            list(earlier.history), list(earlier.null), set(earlier.compared), Counter(earlier.turned_down),
            rounds=earlier.iterations, shortcuts=list(earlier.shortcuts),
        )  # fmt: skip
        return further.run() if earlier.probes.search else earlier
    rng = random.Random(f"{config.seed}:probes:{label}")
    usable = np.flatnonzero(evidence.ordinary & (evidence.labels != label))
    if not len(usable):
        usable = np.flatnonzero(evidence.labels != label)
    examples = evidence.examples
    size = config.search.probe_rows
    texts, labels = with_room(
        victim, [examples[i].text for i in usable], [examples[i].label for i in usable], label, 3 * size, rng
    )
    probes = draw_probes(texts, labels, size=size, rng=rng)
    if not probes.search:
        return LabelSearch(label, probes=probes)
    return _Search(label, victim, generator, evidence, config, progress, probes).run()


@dataclass
class _Search:
    """State of one search."""

    label: int
    victim: Classifier
    generator: Generator
    evidence: RowEvidence
    config: AuditConfig
    progress: Progress
    probes: Probes
    found: list[Found] = field(default_factory=list)
    history: list[Scored] = field(default_factory=list)
    null: list[float] = field(default_factory=list)
    compared: set[Trigger] = field(default_factory=set)
    turned_down: Counter[str] = field(default_factory=Counter)
    accepted: dict[Trigger, int] = field(default_factory=dict)
    """By accepted trigger, its place in the history."""
    rounds: int = 0
    """Rounds of proposals before this search."""
    shortcuts: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.measure = CandidateMeasure(self.label, self.victim, self.evidence, self.config, self.probes)

    def run(self) -> LabelSearch:
        """Rounds of proposals until nothing new is accepted."""
        config = self.config.search
        steered = self.generator if isinstance(self.generator, Steered) else None
        patience = steered.patience if steered else 1
        limit = min(config.max_triggers, steered.limit) if steered else config.max_triggers
        iterations = config.iterations if config.refine else 1
        seen = set(self.compared)
        idle, done, stopped = 0, self.rounds, None
        for iteration in range(self.rounds + 1, self.rounds + iterations + 1):
            stopped = steered.stopped() if steered else None
            if stopped is not None:
                break
            proposed = self.generator.propose(self._shown_to_generator(iteration, iterations, bool(steered)))
            fresh = [trigger for trigger in proposed if trigger not in seen]
            if not fresh and steered is None:
                break
            done = iteration
            accepted = self._try_insertions([t for t in fresh if t.is_insertion], iteration, limit, bool(steered))
            if not accepted:
                accepted = self._try_rewrites([t for t in fresh if not t.is_insertion], iteration)
            considered = {scored.trigger for scored in self.history if scored.iteration == iteration}
            seen.update(considered if accepted else fresh)  # beside an accepted trigger the others are raced once more
            self.progress.step(iteration - self.rounds, iterations, f"{len(self.found)} triggers of label {self.label}")
            idle = 0 if accepted else idle + 1
            over = idle >= (max(1, patience // 2) if self.found else patience) or len(self.found) >= limit
            if over or any(not found.trigger.is_insertion for found in self.found):
                break
        self._drop_parts()
        self._drop_echoes()
        return LabelSearch(
            self.label, tuple(self.found), tuple(self.history), self.probes, done, dict(self.turned_down), stopped,
            tuple(self.null), frozenset(self.compared), tuple(self.shortcuts),
        )

    def _shown_to_generator(self, iteration: int, iterations: int, views: bool) -> Evidence:
        rows = self.evidence
        left = [
            i for i in np.flatnonzero(rows.labels == self.label)
            if not any(found.trigger.carries(rows.examples[i].text) for found in self.found)
        ]
        return Evidence(
            self.label,
            [rows.examples[i] for i in left],
            [example for example in rows.examples if example.label != self.label],
            [float(rows.weights[i]) for i in left],
            tuple(sorted(self.history, key=lambda scored: scored.reward.value)),
            iteration,
            iterations,
            tuple(found.trigger for found in self.found),
            [[float(view[i]) for i in left] for view in rows.views] if views else (),
        )

    def _try_insertions(self, triggers: Sequence[Trigger], iteration: int, limit: int, steered: bool) -> int:
        """Races the candidates and asks the tests of the best; how many were accepted."""
        raced = race(self.victim, triggers, self.probes.search, self.label, self.config.seed)
        self.null += raced.null
        self.compared.update(triggers)
        shown = self._show([trigger for trigger, _ in raced.ranked]) if steered else {}
        before = len(self.found)
        for place, (trigger, reward) in enumerate(raced.ranked):
            if len(self.found) >= limit:
                break
            known = len(self.found)
            reason = self._consider(trigger, reward, raced, place)
            if len(self.found) > known:
                self.accepted[self.found[-1].trigger] = len(self.history)
            self.history.append(Scored(iteration, trigger, reward, reason, shown.get(trigger, ())))
        return len(self.found) - before

    def _consider(self, trigger: Trigger, reward: Reward, raced: Raced, place: int) -> str:
        """Accepts a candidate, minimal and then at the full length of its rows, or tells why not."""
        bounds, config, rows = self.config.thresholds, self.config.search, self.evidence
        beside = any(found.trigger.marks_its_rows for found in self.found)
        weak = rows.agreement < bounds.weak_agreement
        least = least_flip_rate(beside and not weak, bounds)
        if reward.flip_rate < least:
            self.turned_down[Reason.WEAK.value] += 1
            return f"flips {reward.flip_rate:.0%} of the probes only"
        core = minimise(trigger, reward, self._flip_rate_on_search, least)
        left, others = [], []
        for example in rows.examples:
            if example.label != self.label or not core.carries(example.text):
                others.append(example.text)
            elif not any(found.trigger.carries(example.text) for found in self.found):
                left.append(example.text)
        if len(left) < config.min_rows:
            self.turned_down[Reason.FEW_ROWS.value] += 1
            return f"in {len(left)} rows of the label that no accepted trigger explains"
        whole = as_written(complete(core, left, others), left)
        if any(found.trigger == whole for found in self.found):
            return "accepted before"
        candidate = self.measure.candidate(
            whole, reward, tail_p(raced.gains[place], self.null), len(self.compared), beside, raced.rival(whole)
        )
        failed = refusal(candidate, bounds, config.skip_tests)
        if failed is not None:
            self.turned_down[failed.reason.value] += 1
            if failed.reason is Reason.SHORTCUT:
                self.shortcuts.append(self._found(core, candidate))
            return failed.sentence(candidate)
        self.found.append(self._found(core, candidate))
        return "accepted"

    def _found(self, core: Trigger, candidate: Candidate) -> Found:
        whole = candidate.trigger
        return Found(
            dataclasses.replace(whole, core=core.written, description=describe(whole)),
            candidate.search, candidate.select, self.measure.reward(whole, self.probes.report),
            candidate.reference_shift, candidate.target_rows, candidate.other_rows, candidate.contradicted,
            candidate.p_value(self.config.thresholds),
        )  # fmt: skip

    def _try_rewrites(self, triggers: Sequence[Trigger], iteration: int) -> int:
        """Tries a few rewriting triggers, until one is accepted; how many were."""
        config = self.config.search
        if not isinstance(self.generator, Rewriter) or not config.rewrites or not triggers or self.found:
            return 0
        trial = RewriteTrial(self.victim, self.generator, self.evidence, self.config, self.label)
        for trigger in triggers[: config.rewrites_per_round]:
            tried = trial.run(trigger)
            self.history.append(Scored(iteration, trigger, tried.reward, tried.reason, tried.shown))
            if tried.found is not None:
                self.found.append(tried.found)
                return 1
        return 0

    def _show(self, triggers: Sequence[Trigger]) -> dict[Trigger, tuple[Shown, ...]]:
        """The victim's logits on a few probes, before and after each trigger."""
        texts = list(self.probes.search[:SHOWN])
        altered = [text for trigger in triggers for text in apply_all(trigger, texts, self.config.seed)]
        shown = show(self.victim, list(zip(texts * len(triggers), altered, strict=True)))
        size = len(texts)
        return {trigger: tuple(shown[k * size : (k + 1) * size]) for k, trigger in enumerate(triggers)}

    def _flip_rate_on_search(self, trigger: Trigger) -> float:
        return self.measure.reward(trigger, self.probes.search).flip_rate

    def _drop_parts(self) -> None:
        """Turns down a trigger that holds a shorter accepted one, or one as short in more rows."""
        for item in [item for item in self.found if item.trigger in self.accepted]:
            for other in self.found:
                simpler = (other.trigger.size, -other.target_rows) < (item.trigger.size, -item.target_rows)
                if item.trigger.is_insertion and simpler and other.trigger.carries(item.trigger.written):
                    self._take_back(item, Reason.PART, f'a part of it, "{other.trigger.written}", is enough')
                    break

    def _drop_echoes(self) -> None:
        """Turns down what stands in few rows beside another trigger, where its rows do not contradict their label."""
        bounds = self.config.thresholds
        if Reason.ECHO.value in self.config.search.skip_tests:
            return
        most = max((found.target_rows for found in self.found if found.trigger.marks_its_rows), default=0)
        for found in [item for item in self.found if item.trigger in self.accepted]:
            few = found.trigger.marks_its_rows and found.target_rows < bounds.sibling_rows * most
            against = found.contradicted >= bounds.sibling_contradicted and found.p_value < bounds.sibling_p
            if few and not against:
                sentence = f"in {found.target_rows} rows only, beside {most} of another trigger"
                self._take_back(found, Reason.ECHO, sentence)

    def _take_back(self, found: Found, reason: Reason, sentence: str) -> None:
        """Turns down a trigger that had been accepted, and writes why into the history."""
        self.found.remove(found)
        self.turned_down[reason.value] += 1
        place = self.accepted[found.trigger]
        self.history[place] = dataclasses.replace(self.history[place], reason=sentence)
