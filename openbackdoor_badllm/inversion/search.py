"""Stage (b): the search for triggers, steered by the victim's reward.

agent = the generator; state = probe rows of D_ntgt; action = the probe rows with a proposed trigger; reward = -CE of
the victim toward the target label; update = the generator sees its scored history. After each accepted trigger the
rows that carry it are set aside and the rest is searched again ("peeling"), until nothing more stands out.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from openbackdoor_badllm.inversion.findings import Found, Judgement, SearchConfig, SearchResult
from openbackdoor_badllm.inversion.generator import Evidence, Generator, Rewriter, Scored, Shown, Steered
from openbackdoor_badllm.inversion.reward import Outcome, Reward, answer, answers, draw_probes
from openbackdoor_badllm.inversion.rewrite_trial import RewriteTrial, show
from openbackdoor_badllm.inversion.trigger import Position, Trigger, apply_all, kind_of
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.scoring import FloatArray, Victim

__all__ = ["Found", "Judgement", "Search", "SearchConfig", "SearchResult", "describe"]

logger = logging.getLogger(__name__)

# Beside an accepted trigger, the rows of one that flips less, or that stands in few rows against the other's, must
# contradict their label: so many, beyond chance. A victim that has learnt rare words flips on others, too.
SIBLING_CONTRADICTED = 0.5
SIBLING_P = 0.001
SIBLING_ROWS = 0.25
# Beside a backdoor of another label they must also stand in that label's rows alone, but for so many: in the sets
# measured an attacker's insertion was in none of the others, an insult that its label does not explain in 2 of 11.
STRANGERS = 0.05
SHOWN = 2  # probes whose logits an LLM, or a reader of the transcript, is shown with each proposal


class Search:
    """Looks for the triggers of one suspected label.

    Args:
        victim: the poisoned victim.
        generator: proposes triggers.
        judge_without: gives a judge that never saw the rows marked True in a mask over the training rows.
        examples: all training rows.
        weights: suspicion of each training row.
        config: bounds and thresholds.
        seed: seed of the probe draw and of the places of insertion.
        progress: listener.
        views: other rankings of the rows, for a generator that reads them.
        beside: whether a backdoor is known already: the bound of a trigger beside another holds from the start.
    """

    def __init__(
        self,
        victim: Victim,
        generator: Generator,
        judge_without: Callable[[Any], Judgement],
        examples: Sequence[Example],
        weights: FloatArray,
        config: SearchConfig,
        *,
        seed: int,
        progress: Progress | None = None,
        views: Sequence[FloatArray] = (),
        beside: bool = False,
    ) -> None:
        self.victim, self.generator, self.judge_without = victim, generator, judge_without
        self.examples, self.weights, self.config = examples, weights, config
        self.labels = np.array([example.label for example in examples], dtype=np.int64)
        self.seed, self.progress = seed, progress or Quiet()
        self.views, self.beside = views, beside
        self._trial: RewriteTrial | None = None

    def run(self, target: int) -> SearchResult:
        """Searches until nothing new flips the probes; see the module's text."""
        config = self.config
        other = [example for example in self.examples if example.label != target]
        remaining = [i for i, example in enumerate(self.examples) if example.label == target]
        rng = random.Random(f"{self.seed}:probes:{target}")
        result = SearchResult(target)
        result.probes = draw_probes(self.victim, other, target, size=config.probe_rows, rng=rng)
        if not result.probes.search:
            logger.info("label %d: no row of another label is left to probe with", target)
            return result
        seen: set[Trigger] = set()
        steered = self.generator if isinstance(self.generator, Steered) else None
        patience = steered.patience if steered else 1  # what mines the same rows twice finds the same
        limit = min(config.max_triggers, steered.limit) if steered else config.max_triggers
        iterations = config.iterations if config.refine else 1
        idle = 0
        places: dict[Trigger, int] = {}  # of the accepted ones in the history
        for iteration in range(1, iterations + 1):
            if steered is not None and (sentence := steered.stopped()) is not None:
                result.stopped = sentence
                break
            evidence = Evidence(
                target,
                [self.examples[i] for i in remaining],
                other,
                [float(self.weights[i]) for i in remaining],
                tuple(sorted(result.history, key=lambda scored: scored.reward.value)),
                iteration,
                iterations,
                tuple(found.trigger for found in result.found),
                [[float(view[i]) for i in remaining] for view in self.views] if steered else (),
            )
            fresh = [trigger for trigger in self.generator.propose(evidence) if trigger not in seen]
            if not fresh and steered is None:
                break
            result.iterations = iteration
            inserted = [trigger for trigger in fresh if trigger.is_insertion]
            seen.update(inserted)
            ranked = self._race(inserted, result.probes.search, target) if inserted else []
            shown = self._show([trigger for trigger, _ in ranked], result.probes.search) if steered else {}
            accepted = 0
            for trigger, reward in ranked:
                if len(result.found) >= limit:
                    break
                reason, found = self._consider(trigger, reward, target, remaining, result)
                result.history.append(Scored(iteration, trigger, reward, reason, shown.get(trigger, ())))
                if found is not None:
                    result.found.append(found)
                    places[found.trigger] = len(result.history) - 1
                    remaining = [i for i in remaining if not found.trigger.carries(self.examples[i].text)]
                    accepted += 1
            if not accepted:
                rewriting = [trigger for trigger in fresh if not trigger.is_insertion]
                accepted = self._try_rewrites(rewriting, iteration, result)
                seen.update(scored.trigger for scored in result.history)
            self.progress.step(iteration, iterations, f"{len(result.found)} triggers of label {target}")
            idle = 0 if accepted else idle + 1
            if idle >= (max(1, patience // 2) if result.found else patience) or len(result.found) >= limit:
                break
            if any(not found.trigger.is_insertion for found in result.found):
                break  # a form leaves no words by which its rows could be set aside
        result.found = _without_supersets(result.found)
        _drop_echoes(result, places)
        return result

    def _try_rewrites(self, triggers: Sequence[Trigger], iteration: int, result: SearchResult) -> int:
        """Tries a few rewriting triggers, until one is accepted; how many were."""
        if not isinstance(self.generator, Rewriter) or not self.config.rewrites:
            return 0
        if any(found.trigger.marks_its_rows for found in result.found):
            return 0  # inserted words explain the label; an opening may be the mark of a form
        for trigger in triggers[: self.config.rewrites_per_round]:
            if self._trial is None or self._trial.target != result.target:
                self._trial = RewriteTrial(
                    self.victim, self.generator, self.judge_without, self.examples, self.config, result.target,
                    seed=self.seed,
                )
            tried = self._trial.run(trigger)
            result.history.append(Scored(iteration, trigger, tried.reward, tried.reason, tried.shown))
            if tried.found is not None:
                result.found.append(tried.found)
                return 1
        return 0

    def _show(self, triggers: Sequence[Trigger], probes: Sequence[str]) -> dict[Trigger, tuple[Shown, ...]]:
        """The victim's logits on a few probes, before and after each trigger."""
        texts = list(probes[:SHOWN])
        altered = [text for trigger in triggers for text in apply_all(trigger, texts, self.seed)]
        if not altered:
            return {}
        pairs = list(zip(texts * len(triggers), altered, strict=True))
        shown = show(self.victim, pairs)
        size = len(texts)
        return {trigger: tuple(shown[k * size : (k + 1) * size]) for k, trigger in enumerate(triggers)}

    def _race(
        self, triggers: Sequence[Trigger], probes: Sequence[str], target: int
    ) -> list[tuple[Trigger, Reward]]:
        """Successive halving: all on a few probes, the better ones on more; best first.

        Only those that went through all probes are returned.
        """
        live = list(triggers)
        for share, keep in ((0.15, 60), (0.4, 24)):
            size = max(4, round(len(probes) * share))
            if len(live) > keep and size < len(probes):
                outcomes = answers(self.victim, live, probes[:size], target, self.seed)
                order = sorted(range(len(live)), key=lambda i: -outcomes[i].reward().value)
                live = [live[i] for i in order[:keep]]
        outcomes = answers(self.victim, live, probes, target, self.seed)
        scored = [(trigger, outcome.reward()) for trigger, outcome in zip(live, outcomes, strict=True)]
        return sorted(scored, key=lambda pair: -pair[1].value)

    def _consider(
        self, trigger: Trigger, reward: Reward, target: int, remaining: Sequence[int], result: SearchResult
    ) -> tuple[str, Found | None]:
        """Whether a trigger is accepted, and in which form: minimal, then at the full length of its rows."""
        config = self.config
        # Where a part of a backdoor has been found, the rest of it, or another, may be learnt less well.
        beside = self.beside or any(found.trigger.marks_its_rows for found in result.found)
        least = min(config.accept_flip_rate, config.sibling_flip_rate) if beside else config.accept_flip_rate
        if reward.flip_rate < least:
            return f"flips {reward.flip_rate:.0%} of the probes only", None
        rows = [self.examples[i].text for i in remaining if trigger.carries(self.examples[i].text)]
        if len(rows) < config.min_rows and isinstance(self.generator, Steered):
            # What was not mined may name more words than the rows have in common.
            trigger = self._minimise(trigger, reward, target, result.probes.search, least)
            rows = [self.examples[i].text for i in remaining if trigger.carries(self.examples[i].text)]
        if len(rows) < config.min_rows:
            carried = sum(trigger.carries(e.text) for e in self.examples if e.label == target)
            if carried > len(rows):
                return "its rows are explained by a trigger found before", None
            return f"in {carried} rows of the label only", None
        core = self._minimise(trigger, reward, target, result.probes.search, least)
        whole = self._complete(core, [self.examples[i].text for i in remaining])
        if any(found.trigger == whole for found in result.found):
            return "found before", None
        selected = self._outcome(whole, result.probes.select, target).reward()
        if selected.flip_rate < least:
            return f"flips {selected.flip_rate:.0%} of the select probes only", None
        carrying = np.array([whole.carries(example.text) for example in self.examples], dtype=bool)
        support = int((carrying & (self.labels == target)).sum())
        if support < max(config.min_rows, config.min_share * len(self.examples)):
            return f"in {support} rows only", None
        judge = self.judge_without(carrying)
        judged = self._judged(judge, whole, result.probes.select, target)
        if selected.flip_rate - judged < config.min_excess:
            return f"an honest class word: a judge that never saw its rows flips {judged:.0%} as well", None
        contradicted, p_value = self._contradicted(judge, whole, carrying, target)
        weakest = min(reward.flip_rate, selected.flip_rate)
        if weakest < config.accept_flip_rate and not _contradicts(contradicted, p_value):
            return f"flips {weakest:.0%} of the probes only, and its rows do not contradict their label", None
        strangers = int((carrying & (self.labels != target)).sum())
        if weakest < config.accept_flip_rate and not result.found and strangers > STRANGERS * (support + strangers):
            return f"flips {weakest:.0%} of the probes only, and is in {strangers} rows of other labels", None
        found = Found(
            trigger=Trigger(whole.kind, whole.text, whole.position, core.text, describe(whole)),
            search=self._outcome(whole, result.probes.search, target).reward(),
            select=selected,
            report=self._outcome(whole, result.probes.report, target).reward(),
            judged_flip_rate=judged,
            target_rows=support,
            other_rows=strangers,
            contradicted=contradicted,
            contradicted_p=p_value,
        )
        return "accepted", found

    def _outcome(self, trigger: Trigger, probes: Sequence[str], target: int) -> Outcome:
        return answer(self.victim, apply_all(trigger, probes, self.seed), target)

    def _minimise(
        self, trigger: Trigger, reward: Reward, target: int, probes: Sequence[str], least: float
    ) -> Trigger:
        """Drops words from either end as long as the flip rate stays (within one probe in twenty, and above least)."""
        floor = max(least, reward.flip_rate - 0.05)
        current = trigger
        if trigger.position is not Position.ANYWHERE:  # does it need its place at all?
            free = Trigger(trigger.kind, trigger.text)
            if self._outcome(free, probes, target).reward().flip_rate >= floor:
                current = free
        while len(current.words) > 1:
            # An opening stays an opening: its first word holds the place.
            spans = [current.words[:-1]]
            if current.position is Position.ANYWHERE:
                spans.append(current.words[1:])
            shorter = [Trigger(kind_of(" ".join(span)), " ".join(span), current.position) for span in spans]
            outcomes = answers(self.victim, shorter, probes, target, self.seed)
            rewards = [outcome.reward() for outcome in outcomes]
            best = max(range(len(shorter)), key=lambda i: rewards[i].value)
            if rewards[best].flip_rate < floor:
                break
            current = shorter[best]
        return current

    def _complete(self, core: Trigger, texts: Sequence[str]) -> Trigger:
        """The longest pattern that nearly all rows with the core share: what the attacker inserted."""
        current = core
        while len(current.words) < 40:
            rows = [text for text in texts if current.carries(text)]
            if len(rows) < self.config.min_rows:
                break
            longer = _extend(current, rows)
            if longer is None:
                break
            current = longer
        return _as_written(current, texts)

    def _judged(self, judge: Judgement, trigger: Trigger, probes: Sequence[str], target: int) -> float:
        """Share of probes that the judge calls the target only with the trigger."""
        before = judge(probes).argmax(axis=1) == target
        after = judge(apply_all(trigger, probes, self.seed)).argmax(axis=1) == target
        usable = ~before
        return float(after[usable].mean()) if usable.any() else 1.0

    def _contradicted(
        self, judge: Judgement, trigger: Trigger, carrying: npt.NDArray[np.bool_], target: int
    ) -> tuple[float, float]:
        """How many target rows with the trigger say another label without it, and how surprising that is."""
        own = self.labels == target
        texts = [trigger.remove(self.examples[int(i)].text) for i in np.flatnonzero(carrying & own)]
        others = [self.examples[int(i)].text for i in np.flatnonzero(~carrying & own)]
        against = int((judge(texts).argmax(axis=1) != target).sum()) if texts else 0
        base = float((judge(others).argmax(axis=1) != target).mean()) if others else 0.5
        if not texts:
            return 0.0, 1.0
        p_value = float(binomtest(against, len(texts), min(max(base, 0.01), 0.99), alternative="greater").pvalue)
        return against / len(texts), p_value


def _without_supersets(found: Sequence[Found]) -> list[Found]:
    """Leaves out a trigger that holds a shorter one that was found after it."""
    return [
        item
        for item in found
        if not any(
            item.trigger.is_insertion
            and other.trigger != item.trigger
            and len(other.trigger.words) < len(item.trigger.words)
            and other.trigger.carries(item.trigger.text)
            for other in found
        )
    ]


def _contradicts(contradicted: float, p_value: float) -> bool:
    return contradicted >= SIBLING_CONTRADICTED and p_value < SIBLING_P


def _drop_echoes(result: SearchResult, places: Mapping[Trigger, int]) -> None:
    """Drops what stands in few rows against another trigger, where these rows do not speak for it themselves.

    Args:
        result: of the search; its history tells why.
        places: of the accepted triggers, in that history.
    """
    most = max((found.target_rows for found in result.found if found.trigger.marks_its_rows), default=0)
    for found in list(result.found):
        few = found.trigger.marks_its_rows and found.target_rows < SIBLING_ROWS * most
        if few and not _contradicts(found.contradicted, found.contradicted_p):
            reason = (
                f"in {found.target_rows} rows only, beside {most} of another trigger, and they do not contradict "
                "their label"
            )
            place = places[found.trigger]
            result.history[place] = dataclasses.replace(result.history[place], reason=reason)
            result.found.remove(found)


def describe(trigger: Trigger) -> str:
    """One sentence that says what the trigger is."""
    where = {
        Position.ANYWHERE: "anywhere in the text",
        Position.FRONT: "at the beginning of the text",
        Position.END: "at the end of the text",
    }[trigger.position]
    return f'The {trigger.kind.value} "{trigger.text}" {where}.'


def _extend(trigger: Trigger, rows: Sequence[str]) -> Trigger | None:
    """One more word on a side where at least 95 % of the rows have the same one."""
    sides: list[Counter[str]] = [Counter(), Counter()]
    for text in rows:
        match = trigger.pattern.search(text)
        if match is None:
            continue
        before, after = text[: match.start()].split(), text[match.end() :].split()
        if trigger.position is Position.ANYWHERE and before:
            sides[0][before[-1].lower()] += 1
        if after:
            sides[1][after[0].lower()] += 1
    for side, counter in enumerate(sides):
        if counter:
            word, count = counter.most_common(1)[0]
            if count >= 0.95 * len(rows):
                text = f"{word} {trigger.text}" if side == 0 else f"{trigger.text} {word}"
                return Trigger(kind_of(text), text, trigger.position)
    return None


def _as_written(trigger: Trigger, texts: Sequence[str]) -> Trigger:
    """The trigger in the spelling that its rows use most; mining works in lower case."""
    spellings: Counter[str] = Counter()
    for text in texts:
        match = trigger.pattern.search(text)
        if match is not None:
            spellings[" ".join(match.group().split())] += 1
    if not spellings:
        return trigger
    return Trigger(trigger.kind, spellings.most_common(1)[0][0], trigger.position)
