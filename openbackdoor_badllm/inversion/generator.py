"""G(x; p): what proposes triggers, and rewrites texts with one.

The search knows a generator by this Protocol alone. ``offline`` mines the rows and calls no LLM: it is the default
when no LLM is configured, and the control that an LLM has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openbackdoor_badllm.inversion.mining import mine
from openbackdoor_badllm.inversion.reward import Reward
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.rows import Example


@dataclass(frozen=True)
class Scored:
    """A proposal and what became of it."""

    iteration: int
    trigger: Trigger
    reward: Reward
    reason: str = ""
    """Why it was kept or turned down, in a few words."""


@dataclass(frozen=True)
class Evidence:
    """All that a generator may look at.

    Attributes:
        target_label: the label under suspicion.
        target: rows of that label that no trigger found so far explains.
        other: rows of all other labels.
        weights: how suspicious each target row is; 1 on average.
        history: earlier proposals with their rewards, best last.
    """

    target_label: int
    target: Sequence[Example]
    other: Sequence[Example]
    weights: Sequence[float]
    history: Sequence[Scored] = field(default_factory=tuple)


class Generator(Protocol):
    """Proposes triggers."""

    name: str
    """The backend, as it is named beside every result."""

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """New hypotheses, most promising first; an empty list when it has no more."""


class OfflineGenerator:
    """Words, phrases, sentences and openings mined from D_tgt against D_ntgt. No LLM.

    Args:
        limit: candidates of each of the three kinds (words, longer n-grams, openings).
        min_rows: an n-gram in fewer target rows is no candidate.
        min_share: nor is one in a smaller share of all rows.
    """

    name = "offline"

    def __init__(self, limit: int = 150, min_rows: int = 3, min_share: float = 0.001) -> None:
        self.limit = limit
        self.min_rows = min_rows
        self.min_share = min_share

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """What stands out in the target rows that are left."""
        rows = len(evidence.target) + len(evidence.other)
        mined = mine(
            evidence.target, evidence.other,
            weights=evidence.weights,
            min_rows=max(self.min_rows, round(self.min_share * rows)),
            limit=self.limit,
        )
        return [candidate.trigger for candidate in mined]
