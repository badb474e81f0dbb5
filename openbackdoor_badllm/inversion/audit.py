"""The whole method on one training set: target, search, verdict, rows, repair.

This is the library's main door. It knows no framework: it gets labelled texts and a way to train a classifier, and
answers the four questions (is there a backdoor, which label, which trigger, which rows) with the repaired rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.inversion.counterfactual import flip_rates
from openbackdoor_badllm.inversion.demonstration import demonstrate
from openbackdoor_badllm.inversion.generator import Generator, OfflineGenerator, Steered
from openbackdoor_badllm.inversion.helper import train_helper
from openbackdoor_badllm.inversion.judge import Embeds, Judge
from openbackdoor_badllm.inversion.llm_generator import LLMGenerator
from openbackdoor_badllm.inversion.looking import Look, Looker, Scope
from openbackdoor_badllm.inversion.probe import train_probe
from openbackdoor_badllm.inversion.repair import Part, repair
from openbackdoor_badllm.inversion.report import Audit, AuditConfig
from openbackdoor_badllm.inversion.target import Nomination, nominate, suspicions
from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.scoring import FloatArray, Victim
from openbackdoor_badllm.training.tracing import Trace

__all__ = ["Audit", "AuditConfig", "audit"]


def audit(
    examples: Sequence[Example],
    *,
    num_labels: int,
    train: TrainVictim,
    embedder: Embeds,
    generator: Generator | None = None,
    victim: Victim | None = None,
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
        victim: a classifier that was trained on these rows: its loss is the reward of the search. The probe when None.
        config: see :class:`AuditConfig`.
        progress: listener.

    Raises:
        DataError: the rows have one class only, or none of the given target label.
        ValueError: ``train`` was asked for a trace and gave none.
    """
    config, progress = config or AuditConfig(), progress or Quiet()
    generator = generator or _miner(config)
    _check(examples, num_labels, config.target_label)
    clock = _Clock()

    probe = train_probe(
        examples, train,
        watch=config.target_label is None and config.target != "none",
        rows=config.trace_rows, points=config.trace_points, seed=config.seed, progress=progress,
    )
    clock.lap("probe")
    judge = Judge(embedder, examples, num_labels, config.seed)
    held_out = judge.held_out()
    suspects = _suspects(examples, probe.trace, probe.watched, held_out, num_labels, config, generator)
    clock.lap("target")

    progress.stage("(b) trigger search")
    everything = Scope.everything(judge, suspects.weights, suspects.views, held_out)
    asked: Victim = probe.victim if victim is None else victim
    surprise = suspects.surprise
    first = Looker(asked, train, generator, config, progress, surprise).look(everything, suspects.labels)
    report = Audit(
        [first.finding], generator.name, suspects.nomination, first.searches, trace=probe.trace, watched=probe.watched,
        tries=probe.tries, llm=generator.report() if isinstance(generator, LLMGenerator) else None, seconds=clock.laps,
    )
    clock.lap("search")
    if not report.backdoor:
        report.repair.examples, report.repair.untouched = list(examples), len(examples)
        return report

    # What an LLM was asked for the first backdoor, mining answers for the others, at no cost.
    miner = _miner(config) if isinstance(generator, Steered) else generator
    helper = first.helper
    looker = Looker(asked, train, miner, config, progress, surprise)
    for further in _look_further(report, everything, suspects.labels, looker):
        helper = further.helper
    clock.lap("further")

    progress.stage(f"(c) repair: {config.repair}")
    if config.repair == "relabel" and (helper is None or report.alike):
        helper = train_helper(
            train, examples, report.suspects, config.seed, alike=report.alike, opposed=report.opposed
        )
    for finding in report.findings:
        finding.demonstrations = demonstrate(asked, finding, config.seed)
        if helper is not None:
            finding.counterfactual = flip_rates(helper.logits, finding, config.seed)
    clock.lap("helper")
    parts = [
        Part(
            finding.target_label,
            [trigger for trigger in finding.triggers if trigger.is_insertion],
            finding.explained,
            [copy for _, copy in finding.rewritten],
        )
        for finding in report.findings
    ]
    report.repair = repair(
        examples, parts, strategy=config.repair, helper=helper, stamp_share=config.stamp_share, seed=config.seed
    )
    clock.lap("repair")
    return report


def _miner(config: AuditConfig) -> OfflineGenerator:
    return OfflineGenerator(config.search.candidates, config.search.min_rows)


def _look_further(report: Audit, scope: Scope, labels: Sequence[int], looker: Looker) -> Iterator[Look]:
    """Further backdoors, one after the other; each look adds its finding and its searches to the report.

    Each look is at all labels that have none yet, those of the look before included: fewer rows are left that the
    labels could be taken for, and beside a known backdoor less is enough.
    """
    while len(report.findings) < looker.config.max_backdoors:
        scope = scope.leave_out(report.findings[-1].suspects)
        present = {example.label for example in scope.examples}
        done = {finding.target_label for finding in report.findings}
        left = [label for label in labels if label in present and label not in done]
        if not left or len(present) < 2:
            return
        looker.progress.stage("(b) look for a further backdoor")
        found = looker.look(scope, left)
        report.searches += found.searches
        if not found.finding.backdoor:
            return
        report.findings.append(found.finding)
        yield found


class _Suspects(NamedTuple):
    """What stage (a) ends with: labels to search in their order, the suspicion of each row, other rankings of them."""

    labels: list[int]
    nomination: Nomination | None
    weights: FloatArray
    views: list[FloatArray]

    @property
    def surprise(self) -> dict[int, float]:
        """Of each label; none where it was not asked for. Eq. 4 has another measure."""
        nomination = self.nomination
        if nomination is None or nomination.method != "robust":
            return {}
        return {item.label: item.surprise for item in nomination.evidence}


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
