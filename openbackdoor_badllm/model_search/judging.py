"""Which words are triggers: the tests of a candidate that no training row speaks for or against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.significance import corrected
from openbackdoor_badllm.trigger_generator.trigger import Trigger


@dataclass(frozen=True)
class ProbeAnswers:
    """What the victim says of one probe set with a candidate in it.

    Attributes:
        reward: toward the label.
        sure: share of the probes on which the victim is sure of the label.
    """

    reward: Reward
    sure: float

    @classmethod
    def of(cls, log_odds: FloatArray, least: float) -> ProbeAnswers:
        """From log-odds of the label, shape ``(n,)``; the victim is sure from ``least`` on."""
        if not len(log_odds):
            return cls(Reward(float("-inf"), 0.0, 0), 0.0)
        value = float(-np.logaddexp(0.0, -log_odds.astype(np.float64)).mean())
        return cls(Reward(value, float((log_odds > 0).mean()), len(log_odds)), float((log_odds >= least).mean()))


@dataclass(frozen=True)
class ModelCandidate:
    """An inserted word, or words, with all that the model says of it.

    Attributes:
        trigger: what is inserted.
        answers: on the search, select and report probes.
        tail_p: chance of its shift among words drawn by chance, uncorrected.
        comparisons: words that were tried.
        reference_shift: how far it shifts the content reference; None where there is no reference.
    """

    trigger: Trigger
    answers: tuple[ProbeAnswers, ProbeAnswers, ProbeAnswers]
    tail_p: float
    comparisons: int
    reference_shift: float | None

    @property
    def p_value(self) -> float:
        """The corrected tail probability."""
        return corrected(self.tail_p, self.comparisons)

    @property
    def flip_rate(self) -> float:
        """The lowest of the three."""
        return min(answer.reward.flip_rate for answer in self.answers)

    @property
    def sure(self) -> float:
        """The lowest of the three."""
        return min(answer.sure for answer in self.answers)


def judge(candidate: ModelCandidate, bounds: ModelSearchConfig) -> tuple[Verdict, str]:
    """The degree of a candidate, and the reason in words."""
    if candidate.flip_rate < bounds.flip_rate:
        return Verdict.NOTHING, f"flips {candidate.flip_rate:.0%} of a probe set only"
    if candidate.sure < bounds.sure_rate:
        return Verdict.NOTHING, f"the victim is sure of {candidate.sure:.0%} of the flipped texts only"
    if candidate.p_value >= bounds.tail_p:
        return Verdict.NOTHING, "not told from other words: they shift the victim nearly as far"
    shift = candidate.reference_shift
    if shift is None:
        return Verdict.SHORTCUT, "whether it is a class word cannot be told without a content reference"
    if shift > bounds.reference_shift:
        return Verdict.NOTHING, f"a class word: it shifts a model of the content by {shift:.0%} as well"
    if shift > bounds.silent_shift:
        return Verdict.SHORTCUT, f"it shifts a model of the content by {shift:.0%}: it may be a class word"
    return Verdict.BACKDOOR, "accepted"


