"""Which candidates are triggers: a list of small tests. Each can be switched off, and each run counts its refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from openbackdoor_badllm.settings import Thresholds
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.significance import corrected, joint
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger


class Reason(str, Enum):
    """Why a candidate is turned down; also the name of the test in ``search.skip_tests``."""

    WEAK = "weak"
    FEW_ROWS = "few-rows"
    WEAK_IN_SELECT = "weak-in-select"
    CONTENT = "content"
    SHORTCUT = "shortcut"
    SIBLING = "sibling"
    CHANCE = "chance"
    ECHO = "echo"
    PART = "part"


@dataclass(frozen=True)
class Candidate:
    """An inserted trigger with all that is known of it.

    Attributes:
        search: reward on the search probes, by which it was chosen.
        select: reward on the select probes, which took no part in the choice.
        target_rows: rows of the target label that carry it.
        other_rows: rows of other labels that carry it.
        label_rows: all rows of the target label.
        rows: all training rows.
        reference_shift: how far it shifts the log-odds of a content reference fitted without its rows, as a share of
            the distance between the rows of the label and the others.
        contradicted: share of the target rows that, without it, say another label to that reference.
        usual: share of the rows of other labels that say another label than the target.
        contradiction_p: chance of that share (:func:`.significance.contradiction_p`), uncorrected.
        tail_p: chance of its effect among ordinary candidates (:func:`.significance.tail_p`), uncorrected.
        comparisons: candidates raced for this label.
        beside: another trigger of the label has been accepted.
        rival: highest flip rate of a raced candidate that is no part of it and has none of its own.
        weak: the victim gives few rows their label (``weak_agreement``).
    """

    trigger: Trigger
    search: Reward
    select: Reward
    target_rows: int
    other_rows: int
    label_rows: int
    rows: int
    reference_shift: float
    contradicted: float
    usual: float
    contradiction_p: float
    tail_p: float
    comparisons: int
    beside: bool
    rival: float = 0.0
    weak: bool = False

    @property
    def weakest(self) -> float:
        """The lower of the two flip rates."""
        return min(self.search.flip_rate, self.select.flip_rate)

    def contradicts(self, bounds: Thresholds) -> bool:
        """Whether the rows that carry it contradict their label as rows of other labels would, beyond chance.

        One standard error is allowed for the share of a few rows.
        """
        error = math.sqrt(self.contradicted * (1 - self.contradicted) / max(1, self.target_rows))
        foreign = self.contradicted + error >= bounds.like_others * self.usual
        return foreign and self._joint_p < (bounds.sibling_p if self.beside else bounds.joint_p)

    @property
    def _joint_p(self) -> float:
        return corrected(joint(self.contradiction_p, self.tail_p), self.comparisons)

    def p_value(self, bounds: Thresholds) -> float:
        """The corrected p-value that decides: of contradiction and effect jointly, or of the effect alone."""
        return self._joint_p if self.contradicts(bounds) else corrected(self.tail_p, self.comparisons)


@dataclass(frozen=True)
class AcceptanceTest:
    """One test: whether a candidate passes, and the sentence where it does not."""

    reason: Reason
    passes: Callable[[Candidate, Thresholds], bool]
    sentence: Callable[[Candidate], str]


def least_flip_rate(beside: bool, bounds: Thresholds) -> float:
    """Share of probes that a candidate must flip to be looked at more closely."""
    return min(bounds.flip_rate, bounds.sibling_flip_rate) if beside else bounds.flip_rate


def _content(candidate: Candidate, bounds: Thresholds) -> bool:
    own_meaning = candidate.contradicts(bounds) or candidate.trigger.kind is Kind.SENTENCE
    allowed = bounds.foreign_shift if own_meaning else bounds.reference_shift
    return candidate.reference_shift <= allowed


def _chance(candidate: Candidate, bounds: Thresholds) -> bool:
    if candidate.contradicts(bounds):
        return True
    if candidate.weakest < bounds.certain_flip_rate or candidate.weak:
        return False
    silent = candidate.reference_shift <= bounds.silent_shift or candidate.trigger.kind is Kind.SENTENCE
    if silent and candidate.rival <= bounds.silent_rival:
        return True
    return corrected(candidate.tail_p, candidate.comparisons) < bounds.tail_p


TESTS: tuple[AcceptanceTest, ...] = (
    AcceptanceTest(
        Reason.WEAK_IN_SELECT,
        lambda c, bounds: c.select.flip_rate >= least_flip_rate(c.beside and not c.weak, bounds),
        lambda c: f"flips {c.select.flip_rate:.0%} of the select probes only",
    ),
    AcceptanceTest(
        Reason.FEW_ROWS,
        lambda c, bounds: c.target_rows >= bounds.min_share * c.rows,
        lambda c: f"in {c.target_rows} rows only",
    ),
    AcceptanceTest(
        Reason.CONTENT,
        _content,
        lambda c: f"a class word: it shifts a model fitted without its rows by {c.reference_shift:.0%} as well",
    ),
    AcceptanceTest(
        Reason.SHORTCUT,
        lambda c, bounds: c.contradicts(bounds) or c.target_rows <= bounds.shortcut_rows * c.label_rows,
        lambda c: f"a shortcut: in {c.target_rows} of the {c.label_rows} rows of the label, whose texts fit it",
    ),
    AcceptanceTest(
        Reason.SIBLING,
        lambda c, bounds: c.weakest >= bounds.flip_rate
        or (c.contradicts(bounds) and c.contradicted >= bounds.sibling_contradicted),
        lambda c: f"flips {c.weakest:.0%} of the probes only, and its rows do not contradict their label",
    ),
    AcceptanceTest(
        Reason.CHANCE,
        _chance,
        lambda c: "not told from ordinary text: its rows do not contradict their label, and others shift as much",
    ),
)
"""In the order in which they are asked; the first that fails gives the reason."""


def refusal(candidate: Candidate, bounds: Thresholds, skipped: Collection[str]) -> AcceptanceTest | None:
    """The first test that a candidate does not pass; None where it is accepted.

    Args:
        candidate: the candidate.
        bounds: the thresholds.
        skipped: names of tests that are switched off.
    """
    for test in TESTS:
        if test.reason.value not in skipped and not test.passes(candidate, bounds):
            return test
    return None
