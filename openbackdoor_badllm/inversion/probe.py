"""The probe of stage (a): a class-balanced victim that is watched while it learns, and whether it has learnt at all.

What it has not learnt, it cannot tell. So a probe that is unsure of its own rows in the end is trained twice as long;
one that is no better than one answer for everything (a bad draw or a rate too high may do that) gets another seed, too.
What was tried is reported, and the best of it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.inversion.training import Trained, TrainVictim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.tracing import Trace, TraceRequest

LEARNT = 0.93  # of its rows a probe should be sure of in the end; one that had missed a late trigger was of 0.91
NO_BETTER = 0.1  # above the share of the largest class: less is what a constant answer reaches, or hardly more
SEEDS = 3  # tried until a probe is better than a constant answer


@dataclass(frozen=True)
class Try:
    """One training of the probe.

    Attributes:
        length: times as many epochs as usual.
        attempt: which seed, counted from 0.
        learnt: share of the watched rows of whose label it is more sure than not in the end.
        collapsed: it is hardly better than one answer for everything.
    """

    length: int
    attempt: int
    learnt: float
    collapsed: bool

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "length": self.length, "attempt": self.attempt, "learnt": round(self.learnt, 4),
            "collapsed": self.collapsed,
        }  # fmt: skip


@dataclass
class Probe:
    """The probe that is used, and how it came about.

    Attributes:
        watched: the rows that its trace watched: indices of the training rows, ascending, shape ``(n,)``.
        tries: all trainings; empty where nothing was watched.
    """

    victim: Trained
    watched: npt.NDArray[np.int64]
    tries: list[Try] = field(default_factory=list)

    @property
    def trace(self) -> Trace | None:
        """The confidence trace, where stage (a) asked for one."""
        return self.victim.trace


def train_probe(
    examples: Sequence[Example],
    train: TrainVictim,
    *,
    watch: bool,
    rows: int,
    points: int,
    seed: int,
    progress: Progress,
) -> Probe:
    """Trains the probe.

    Args:
        examples: the training rows.
        train: trains a victim.
        watch: whether stage (a) needs the trace; without it nothing is known of how well the probe has learnt.
        rows: rows watched at most, drawn at random.
        points: points of the trace.
        seed: seed of that draw.
        progress: listener.

    Raises:
        ValueError: ``train`` was asked for a trace and gave none.
    """
    progress.stage("(a) target label: train a probe and watch it learn")
    watched = _watched(len(examples), rows, seed)
    if not watch:
        return Probe(train(examples, balanced=True, trace=None), watched)
    wanted = TraceRequest([examples[i] for i in watched], points=points)
    largest = float(np.bincount([examples[i].label for i in watched]).max() / len(watched))
    tries: list[Try] = []
    victims: list[Trained] = []
    length, attempt = 1, 0
    while True:
        victim = train(examples, balanced=True, trace=wanted, length=length, attempt=attempt)
        if victim.trace is None:
            raise ValueError("`train` was asked for a confidence trace and returned a victim without one")
        learnt = learnt_share(victim.trace)
        tries.append(Try(length, attempt, learnt, learnt < largest + NO_BETTER * (1 - largest)))
        victims.append(victim)
        if learnt >= LEARNT or (length > 1 and not tries[-1].collapsed) or attempt == SEEDS - 1:
            break
        length = 2
        if tries[-1].collapsed:
            attempt += 1
            progress.stage("(a) the probe is no better than one answer for everything: train it with another seed")
        else:
            progress.stage("(a) the probe has not learnt its rows: train it twice as long")
    best = max(range(len(tries)), key=lambda place: (tries[place].learnt, place))
    return Probe(victims[best], watched, tries)


def learnt_share(trace: Trace) -> float:
    """Share of the watched rows of whose label the probe is more sure than not when its training ends."""
    return float((trace.confidence[-1] > 0.5).mean()) if len(trace.steps) else 1.0


def _watched(count: int, limit: int, seed: int) -> npt.NDArray[np.int64]:
    if count <= limit:
        return np.arange(count)
    drawn: npt.NDArray[np.int64] = np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
    return drawn
