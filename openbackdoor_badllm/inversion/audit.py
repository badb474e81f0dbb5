"""The whole method on one training set: target, search, verdict, rows, repair.

This is the library's main door. It knows no framework: it gets labelled texts and a way to train a classifier, and
answers the four questions (is there a backdoor, which label, which trigger, which rows) with the repaired rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.engine.progress import Progress, Quiet
from openbackdoor_badllm.engine.scoring import FloatArray, Victim
from openbackdoor_badllm.engine.tracing import Trace, TraceRequest
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.inversion.demonstration import counterfactual, demonstrate
from openbackdoor_badllm.inversion.explain import explain
from openbackdoor_badllm.inversion.form_seed import form_weights
from openbackdoor_badllm.inversion.form_trial import look_for_form
from openbackdoor_badllm.inversion.generator import Generator, OfflineGenerator, Rewriter, Steered
from openbackdoor_badllm.inversion.helper import train_helper
from openbackdoor_badllm.inversion.judge import Embeds, Judge
from openbackdoor_badllm.inversion.llm_generator import LLMGenerator
from openbackdoor_badllm.inversion.repair import repair
from openbackdoor_badllm.inversion.report import Audit, AuditConfig
from openbackdoor_badllm.inversion.rewrite_trial import rewritten_copies
from openbackdoor_badllm.inversion.search import Search
from openbackdoor_badllm.inversion.target import Nomination, nominate, suspicions
from openbackdoor_badllm.inversion.training import Trained, TrainVictim
from openbackdoor_badllm.inversion.trigger import Position
from openbackdoor_badllm.inversion.verdict import keep_standing
from openbackdoor_badllm.rows import Example

__all__ = ["Audit", "AuditConfig", "audit"]

LEARNT = 0.93  # of its rows a probe should be sure of in the end; one that had missed a late trigger was of 0.91
THIN = 0.1  # inserted triggers in a smaller share of the target's rows may be marks of a form ("thou")


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
        ValueError: ``train`` was asked for a trace and gave none.
    """
    config, progress = config or AuditConfig(), progress or Quiet()
    generator = generator or OfflineGenerator(config.search.candidates, config.search.min_rows)
    _check(examples, num_labels, config.target_label)
    clock = _Clock()

    probe, watched = _train_probe(examples, train, config, progress)
    clock.lap("probe")
    judge = Judge(embedder, examples, num_labels, config.seed)
    held_out = judge.held_out()
    suspects = _suspects(examples, probe.trace, watched, held_out, num_labels, config, generator)
    clock.lap("target")

    progress.stage("(b) trigger search")
    report = _search(examples, probe, judge, suspects, config, generator, progress)
    report.trace, report.watched = probe.trace, watched
    clock.lap("search")
    target, helper, weights = report.target_label, None, suspects.weights
    if report.backdoor:
        report.explained = explain(probe, examples, target, report.search.found)
        rewriting = next((trigger for trigger in report.triggers if not trigger.is_insertion), None)
        if rewriting is not None and isinstance(generator, Rewriter):
            report.rewritten = rewritten_copies(
                generator, rewriting, examples, target, count=config.search.rewrite_copies, seed=config.seed
            )
        weights = form_weights(report.rewritten, examples, weights)
    if isinstance(generator, LLMGenerator):
        report.llm = generator.report()
    inserted = any(trigger.is_insertion and trigger.position is not Position.FRONT for trigger in report.triggers)
    own = sum(example.label == target for example in examples)
    if config.search.form and (not inserted or len(report.sure_rows) < THIN * own):
        progress.stage("(b) look for rows that share a form")
        helper = look_for_form(report, examples, held_out, weights, train, config, beside_insertions=inserted)
        clock.lap("form")
    report.seconds = clock.laps  # the clock's own dict: the laps still to come are in it as well
    if not report.backdoor:
        report.repair.examples, report.repair.untouched = list(examples), len(examples)
        return report

    report.demonstrations = demonstrate(probe, report, config.seed)
    if config.repair == "relabel":
        if helper is None:
            progress.stage("(c) repair: train a helper without the explained rows")
            helper = train_helper(train, examples, report.sure_rows, config.seed)
        report.counterfactual = counterfactual(helper.logits, report, config.seed)
    clock.lap("helper")
    report.repair = repair(
        examples, target, [trigger for trigger in report.triggers if trigger.is_insertion], report.explained,
        rewritten=[copy for _, copy in report.rewritten],
        strategy=config.repair, helper=helper, stamp_share=config.stamp_share, seed=config.seed,
    )
    clock.lap("repair")
    return report


def learnt_share(trace: Trace) -> float:
    """Share of the watched rows of whose label the probe is more sure than not when its training ends."""
    return float((trace.confidence[-1] > 0.5).mean()) if len(trace.steps) else 1.0


class _Suspects(NamedTuple):
    """What stage (a) ends with: labels to search in their order, the suspicion of each row, other rankings of them."""

    labels: list[int]
    nomination: Nomination | None
    weights: FloatArray
    views: list[FloatArray]


def _train_probe(
    examples: Sequence[Example], train: TrainVictim, config: AuditConfig, progress: Progress
) -> tuple[Trained, npt.NDArray[np.int64]]:
    """The probe, and the rows that its trace watched."""
    progress.stage("(a) target label: train a probe and watch it learn")
    watched = _watched(len(examples), config.trace_rows, config.seed)
    wanted = None
    if config.target_label is None and config.target != "none":
        wanted = TraceRequest([examples[i] for i in watched], points=config.trace_points)
    probe = train(examples, balanced=True, trace=wanted)
    if wanted is not None and probe.trace is None:
        raise ValueError("`train` was asked for a confidence trace and returned a victim without one")
    if probe.trace is not None and learnt_share(probe.trace) < LEARNT:
        # What it has not learnt, it cannot tell: a trigger that is learnt late would be missed.
        progress.stage("(a) the probe has not learnt its rows: train it twice as long")
        probe = train(examples, balanced=True, trace=wanted, length=2)
    return probe, watched


def _suspects(
    examples: Sequence[Example],
    trace: Trace | None,
    watched: npt.NDArray[np.int64],
    held_out: FloatArray,
    num_labels: int,
    config: AuditConfig,
    generator: Generator,
) -> _Suspects:
    """Which labels are searched, and which rows are looked at first."""
    weights = np.ones(len(examples), dtype=np.float32)
    if config.target_label is not None:
        return _Suspects([config.target_label], None, weights, [])
    if trace is None:  # an ablation: no stage (a)
        labels = sorted({example.label for example in examples})
        return _Suspects(labels[: config.max_labels], None, weights, [])
    nomination = nominate(trace, held_out[watched], num_labels, method=config.target)
    weights[watched] = nomination.weights
    views: list[FloatArray] = []
    for ranking in suspicions(trace, held_out[watched]) if isinstance(generator, Steered) else ():
        views.append(np.zeros(len(examples), dtype=np.float32))
        views[-1][watched] = ranking
    labels = [item.label for item in nomination.evidence]
    return _Suspects(labels[: config.max_labels], nomination, weights, views)


def _search(
    examples: Sequence[Example],
    probe: Victim,
    judge: Judge,
    suspects: _Suspects,
    config: AuditConfig,
    generator: Generator,
    progress: Progress,
) -> Audit:
    """Searches the suspected labels until one has a trigger that stands against its controls."""
    report = Audit(False, suspects.labels[0], generator.name, suspects.nomination, [])
    for label in suspects.labels:
        search = Search(
            probe, generator, judge.without, examples, suspects.weights, config.search,
            seed=config.seed, progress=progress, views=suspects.views,
        )
        result = search.run(label)
        report.searches.append(result)
        if result.found:
            report.controls = keep_standing(
                probe, examples, result, min_margin=config.search.min_margin, seed=config.seed
            )
        if result.found:  # what still stands
            report.backdoor, report.target_label = True, label
            break
        if isinstance(generator, Steered) and generator.stopped() is not None:
            break
    return report


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
