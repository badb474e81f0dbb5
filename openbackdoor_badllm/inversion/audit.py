"""The whole method on one training set: target, search, verdict, rows, repair.

This is the library's main door. It knows no framework: it gets labelled texts and a way to train a classifier, and
answers the four questions (is there a backdoor, which label, which trigger, which rows) with the repaired rows.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.engine.progress import Progress, Quiet
from openbackdoor_badllm.engine.scoring import FloatArray, Victim, softmax
from openbackdoor_badllm.engine.tracing import Trace, TraceRequest
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.inversion.explain import Explained, explain
from openbackdoor_badllm.inversion.form import (
    Form,
    Generalisation,
    contradiction_lift,
    find_form,
    generalises,
    split_rows,
)
from openbackdoor_badllm.inversion.form_seed import form_weights
from openbackdoor_badllm.inversion.generator import Generator, OfflineGenerator, Rewriter, Steered
from openbackdoor_badllm.inversion.judge import Embeds, Judge
from openbackdoor_badllm.inversion.llm_generator import LLMGenerator
from openbackdoor_badllm.inversion.repair import Helper, Repair, repair
from openbackdoor_badllm.inversion.rewrite_trial import rewritten_copies
from openbackdoor_badllm.inversion.search import Search, SearchConfig, SearchResult
from openbackdoor_badllm.inversion.target import Nomination, nominate, suspicions
from openbackdoor_badllm.inversion.trigger import Position, Trigger, apply_all
from openbackdoor_badllm.inversion.verdict import Control, controls, paraphrase_control, stands
from openbackdoor_badllm.rows import Example

logger = logging.getLogger(__name__)

CALIBRATION_SHARE = 0.15  # of the unexplained rows, kept from the helper to learn how it errs
CALIBRATION_ROWS = 400
LEARNT = 0.93  # of its rows a probe should be sure of in the end; one that had missed a late trigger was of 0.91
THIN = 0.1  # inserted triggers in a smaller share of the target's rows may be marks of a form ("thou")
WORTH_TESTING = 1.4  # how much more often a form's rows contradict their label than the label's rows do


class Trained(Victim, Protocol):
    """A trained victim, with its trace where one was asked for."""

    @property
    def trace(self) -> Trace | None:
        """The confidence trace."""


class TrainVictim(Protocol):
    """Trains a fresh victim on rows."""

    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, length: int = 1
    ) -> Trained:
        """The trained victim; ``length`` times as many epochs as usual."""


@dataclass(frozen=True)
class AuditConfig:
    """How an audit is made. Its fields are keys of the config's ``defender``."""

    target: str = "robust"
    """Stage (a): ``robust``, ``paper`` (Eq. 4 to the letter), or ``none``: no trace, no suspicion of any row, the
    labels are searched in their order (an ablation of the paper)."""
    target_label: int | None = None
    """Skip stage (a) and take this label."""
    max_labels: int = 4
    """Labels searched at most, most suspicious first, until one has a trigger."""
    trace_points: int = 20
    """Points of the confidence trace."""
    trace_rows: int = 1000
    """Rows watched by the trace at most; more are drawn at random."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Stage (b)."""
    repair: str = "relabel"
    """Stage (c): ``relabel``, ``purge``, ``stamp-non-target``, ``paper`` (Eq. 9) or ``none``."""
    stamp_share: float = 0.1
    """Share of the unexplained rows that ``relabel`` and ``purge`` add with the trigger and their own label."""
    seed: int = 42
    """Seed of everything that is drawn."""


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
class Audit:
    """What was found, and the rows to train on instead.

    Attributes:
        backdoor: whether a trigger was found and held against its controls.
        target_label: the label that the triggers lead to; the most suspicious one when none was found.
        counterfactual: flip rate of each trigger on a model of the same kind trained without the explained rows. A
            trigger of an attacker loses its force there; an honest class word keeps it.
        form: the form that some rows of the target label share, where it was taken for a trigger.
        generalisation: whether that form teaches the label; it counts as a backdoor only then.
        explained: the training rows that carry a trigger or the form.
        rewritten: rows of other labels and what a rewriting trigger makes of them.
        llm: what the language model was asked and what that cost, where there is one.
    """

    backdoor: bool
    target_label: int
    generator: str
    nomination: Nomination | None
    searches: list[SearchResult]
    controls: list[Control] = field(default_factory=list)
    counterfactual: dict[str, float] = field(default_factory=dict)
    form: Form | None = None
    generalisation: Generalisation | None = None
    explained: list[Explained] = field(default_factory=list)
    repair: Repair = field(default_factory=lambda: Repair("none"))
    demonstrations: list[Demonstration] = field(default_factory=list)
    rewritten: list[tuple[Example, Example]] = field(default_factory=list)
    llm: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers of the target label."""
        return [found.trigger for found in self.search.found]

    @property
    def search(self) -> SearchResult:
        """The search of the target label."""
        return next(
            (result for result in self.searches if result.target == self.target_label),
            SearchResult(self.target_label),
        )

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``; the explained rows go to a file of their own."""
        return {
            "backdoor": self.backdoor,
            "target_label": self.target_label,
            "generator": self.generator,
            "target_evidence": [item.to_dict() for item in self.nomination.evidence] if self.nomination else [],
            "target_method": self.nomination.method if self.nomination else "given",
            "triggers": [found.to_dict() for found in self.search.found],
            "form": self.form.to_dict() if self.form else None,
            "form_generalisation": self.generalisation.to_dict() if self.generalisation else None,
            "controls": [control.to_dict() for control in self.controls],
            "counterfactual_flip_rate": {key: round(v, 4) for key, v in self.counterfactual.items()},
            "explained_rows": len(self.explained),
            "repair": self.repair.to_dict(),
            "demonstrations": [item.to_dict() for item in self.demonstrations],
            "labels_searched": [
                {
                    "label": result.target,
                    "triggers": len(result.found),
                    "best_reward": None if not result.history else round(result.best_reward, 4),
                    "iterations": result.iterations,
                }
                for result in self.searches
            ],
            **({"llm": self.llm} if self.llm is not None else {}),
            "seconds": {stage: round(value, 2) for stage, value in self.seconds.items()},
        }


def audit(
    examples: Sequence[Example],
    *,
    num_labels: int,
    train: TrainVictim,
    embedder: Embeds,
    generator: Generator | None = None,
    config: AuditConfig | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Looks for a backdoor in a training set, and repairs it.

    Args:
        examples: the training rows, without poison flags.
        num_labels: number of classes.
        train: trains a fresh victim on rows.
        embedder: the frozen encoder of the judge.
        generator: proposes triggers; mines the rows when None.
        config: see :class:`AuditConfig`.
        progress: listener.

    Raises:
        DataError: the rows have one class only, or none of the given target label.
    """
    config, progress = config or AuditConfig(), progress or Quiet()
    generator = generator or OfflineGenerator(config.search.candidates, config.search.min_rows)
    _check(examples, num_labels, config.target_label)
    clock = _Clock()

    progress.stage("(a) target label: train a probe and watch it learn")
    watched = _watched(len(examples), config.trace_rows, config.seed)
    request = TraceRequest([examples[i] for i in watched], points=config.trace_points)
    wanted = None if config.target_label is not None or config.target == "none" else request
    probe = train(examples, balanced=True, trace=wanted)
    if probe.trace is not None and learnt_share(probe.trace) < LEARNT:
        # What it has not learnt, it cannot tell: a trigger that is learnt late would be missed.
        progress.stage("(a) the probe has not learnt its rows: train it twice as long")
        probe = train(examples, balanced=True, trace=wanted, length=2)
    clock.lap("probe")
    judge = Judge(embedder, examples, num_labels, config.seed)
    nomination, weights = None, np.ones(len(examples), dtype=np.float32)
    views: list[FloatArray] = []
    labels = [config.target_label] if config.target_label is not None else []
    if config.target == "none" and not labels:
        labels = sorted({example.label for example in examples})[: config.max_labels]
    if probe.trace is not None and not labels:
        nomination = nominate(probe.trace, judge.held_out()[watched], num_labels, method=config.target)
        weights[watched] = nomination.weights
        for ranking in suspicions(probe.trace, judge.held_out()[watched]) if isinstance(generator, Steered) else ():
            views.append(np.zeros(len(examples), dtype=np.float32))
            views[-1][watched] = ranking
        labels = [item.label for item in nomination.evidence][: config.max_labels]
    clock.lap("target")

    progress.stage("(b) trigger search")
    searches: list[SearchResult] = []
    judged: list[Control] = []
    for label in labels:
        search = Search(
            probe, generator, judge.without, examples, weights, config.search,
            seed=config.seed, progress=progress, views=views,
        )
        result = search.run(label)
        searches.append(result)
        if result.found:
            judged = _judge(probe, examples, result, config)
        if result.found or (isinstance(generator, Steered) and generator.stopped() is not None):
            break
    target = next((result.target for result in searches if result.found), labels[0])
    report = Audit(
        backdoor=any(result.found for result in searches),
        target_label=target,
        generator=generator.name,
        nomination=nomination,
        searches=searches,
        controls=judged,
    )
    clock.lap("search")
    helper = None
    if report.backdoor:
        report.explained = explain(probe, examples, target, report.search.found)
        report.rewritten = _rewritten(generator, report, examples, config)
        weights = form_weights(report.rewritten, examples, weights)
    if isinstance(generator, LLMGenerator):
        report.llm = generator.report()
    inserted = any(
        found.trigger.is_insertion and found.trigger.position is not Position.FRONT for found in report.search.found
    )
    own = sum(example.label == target for example in examples)
    thin = sum(row.probability >= 0.5 for row in report.explained) < THIN * own
    if config.search.form and (thin or not inserted):
        progress.stage("(b) look for rows that share a form")
        helper = _look_for_form(
            report, examples, judge.held_out(), weights, train, config, beside_insertions=inserted
        )
        clock.lap("form")
    if not report.backdoor:
        report.repair = Repair("none", list(examples), untouched=len(examples))
        report.seconds = clock.laps
        return report

    if report.triggers:
        report.demonstrations = _demonstrate(probe, report, config.seed)
    if config.repair == "relabel":
        if helper is None:
            progress.stage("(c) repair: train a helper without the explained rows")
            sure = {row.index for row in report.explained if row.probability >= 0.5}
            helper = _train_helper(train, examples, sure, config.seed)
        report.counterfactual = _counterfactual(helper.logits, report, config.seed)
    clock.lap("helper")
    report.repair = repair(
        examples, target, [trigger for trigger in report.triggers if trigger.is_insertion], report.explained,
        rewritten=[copy for _, copy in report.rewritten],
        strategy=config.repair, helper=helper, stamp_share=config.stamp_share, seed=config.seed,
    )
    clock.lap("repair")
    report.seconds = clock.laps
    return report


def _rewritten(
    generator: Generator, report: Audit, examples: Sequence[Example], config: AuditConfig
) -> list[tuple[Example, Example]]:
    """Rows of other labels with what the rewriting trigger makes of them; empty when there is no such trigger."""
    trigger = next((trigger for trigger in report.triggers if not trigger.is_insertion), None)
    if trigger is None or not isinstance(generator, Rewriter):
        return []
    return rewritten_copies(
        generator, trigger, examples, report.target_label, count=config.search.rewrite_copies, seed=config.seed
    )


def learnt_share(trace: Trace) -> float:
    """Share of the watched rows of whose label the probe is more sure than not when its training ends."""
    return float((trace.confidence[-1] > 0.5).mean()) if len(trace.steps) else 1.0


def _look_for_form(
    report: Audit,
    examples: Sequence[Example],
    held_out: FloatArray,
    weights: FloatArray,
    train: TrainVictim,
    config: AuditConfig,
    *,
    beside_insertions: bool,
) -> Helper | None:
    """Looks for a shared form, tests whether it teaches the label, and writes both into the report.

    Args:
        beside_insertions: an inserted trigger was found. Its rows are left out, and the two trainings of the test
            are spent only on a form whose rows clearly contradict their label.

    Returns:
        A victim trained without all explained rows when the form is taken for a trigger, else None.
    """
    explained = {row.index for row in report.explained if beside_insertions and row.probability >= 0.5}
    kept = np.array([index for index in range(len(examples)) if index not in explained], dtype=np.int64)
    remaining = [examples[index] for index in kept]
    form = find_form(remaining, report.target_label, held_out[kept], weights[kept], seed=config.seed)
    if form is None:
        return None
    if beside_insertions and contradiction_lift(form, remaining, held_out[kept]) < WORTH_TESTING:
        return None
    _, asked = split_rows(form, config.seed)
    inside, unseen = set(form.rows), set(asked)
    untaught = _train_helper(train, remaining, inside, config.seed)
    taught = train(
        [example for index, example in enumerate(remaining) if index not in unseen], balanced=True, trace=None
    )
    report.generalisation = generalises(
        taught.logits, untaught.logits, [remaining[i].text for i in asked], form.target
    )
    if report.generalisation.gain < config.search.min_gain:
        return None
    report.form = dataclasses.replace(form, rows=tuple(int(kept[index]) for index in form.rows))
    report.backdoor = True
    known = {row.index: row for row in report.explained}
    for index, probability in zip(report.form.rows, report.form.probability, strict=True):
        before = known.get(index)
        known[index] = Explained(
            index,
            before.triggers if before else (),
            examples[index].text,  # a form cannot be taken out of a text
            max(probability, before.probability if before else 0.0),
            form=True,
        )
    report.explained = [known[index] for index in sorted(known)]
    return untaught


def _counterfactual(logits: Callable[[Sequence[str]], FloatArray], report: Audit, seed: int) -> dict[str, float]:
    """Flip rate of each trigger on a model that never saw the explained rows."""
    target, probes = report.target_label, list(report.search.probes.report)
    if not probes:
        return {}
    calm = [text for text, said in zip(probes, logits(probes).argmax(axis=1), strict=True) if said != target]
    return {
        trigger.text: float((logits(apply_all(trigger, calm, seed)).argmax(axis=1) == target).mean()) if calm else 0.0
        for trigger in report.triggers
        if trigger.is_insertion
    }


def _train_helper(
    train: TrainVictim, examples: Sequence[Example], left_out: Collection[int], seed: int
) -> Helper:
    """A victim trained without some rows, and without a few more on which it can be checked."""
    rest = [example for index, example in enumerate(examples) if index not in left_out]
    random.Random(f"{seed}:calibration").shuffle(rest)
    size = min(CALIBRATION_ROWS, round(CALIBRATION_SHARE * len(rest)))
    if len({example.label for example in rest[size:]}) < 2:
        size = 0
    return Helper(train(rest[size:], balanced=True, trace=None).logits, rest[:size])


def _judge(
    probe: Victim, examples: Sequence[Example], result: SearchResult, config: AuditConfig
) -> list[Control]:
    """Drops the triggers that are no better than ordinary text; the controls of those that stand."""
    rewriting = [found for found in result.found if not found.trigger.is_insertion]  # compared when they were tried
    result.found = [found for found in result.found if found.trigger.is_insertion]
    compared = controls(probe, examples, result, seed=config.seed)
    standing = [
        (found, control)
        for found, control in zip(result.found, compared, strict=True)
        if stands(found, control, config.search.min_margin)
    ]
    result.found = [found for found, _ in standing] + rewriting
    paraphrased = [paraphrase_control(found) for found in rewriting]
    return [control for _, control in standing] + [control for control in paraphrased if control is not None]


def _demonstrate(victim: Victim, report: Audit, seed: int, count: int = 5) -> list[Demonstration]:
    """Some report probes with a trigger: the victim's answer before and after."""
    shown = []
    inserted = [trigger for trigger in report.triggers if trigger.is_insertion]
    texts = sorted(report.search.probes.report, key=len)[: count * 3 : 3] if inserted else []
    pairs = [
        (text, inserted[place % len(inserted)].apply(text, _rng(seed, text))) for place, text in enumerate(texts)
    ]
    if not inserted:
        shortest = sorted(report.rewritten, key=lambda pair: len(pair[0].text))
        pairs = [(row.text, copy.text) for row, copy in shortest[: count * 3 : 3]]
    for text, altered in pairs:
        before, after = softmax(victim.logits([text, altered]))
        shown.append(
            Demonstration(
                text, altered, int(before.argmax()), int(after.argmax()),
                float(before[report.target_label]), float(after[report.target_label]),
            )
        )
    return shown


def _rng(seed: int, text: str) -> random.Random:
    return random.Random(f"{seed}:{text}")


def _watched(count: int, limit: int, seed: int) -> npt.NDArray[np.int64]:
    if count <= limit:
        return np.arange(count)
    drawn: npt.NDArray[np.int64] = np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
    return drawn


def _check(examples: Sequence[Example], num_labels: int, target_label: int | None) -> None:
    labels = {example.label for example in examples}
    if len(labels) < 2:
        raise DataError(
            f"The training rows have {len(labels)} class(es); a defence needs rows of at least 2 classes."
        )
    outside = sorted(label for label in labels if not 0 <= label < num_labels)
    if outside:
        raise DataError(
            f"The training rows have the label {outside[0]}, but the victim has classes 0 to {num_labels - 1}: set "
            "the victim's num_classes, or mend the labels."
        )
    if target_label is not None and target_label not in labels:
        raise DataError(
            f"No training row has the target label {target_label}; the labels are {sorted(labels)}."
        )


class _Clock:
    """Wall time of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self.last
        self.last = now
