"""G(x; p): what proposes triggers, and rewrites texts with one.

The search knows a generator by this Protocol alone. ``offline`` mines the rows and calls no LLM: it is the default
when no LLM is configured, and the control that an LLM has to beat.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.mining import mine
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger
from openbackdoor_badllm.trigger_generator.units import units


class Shown(NamedTuple):
    """A probe text and the victim's logits before and after a proposal was put into it."""

    text: str
    altered: str
    before: tuple[float, ...]
    after: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``search.json``."""
        return {**self._asdict(), "before": list(self.before), "after": list(self.after)}


@dataclass(frozen=True)
class Scored:
    """A proposal and what became of it."""

    iteration: int
    trigger: Trigger
    reward: Reward
    reason: str = ""
    """Why it was kept or turned down, in a few words."""
    shown: tuple[Shown, ...] = ()
    """Some probes, for a generator that learns from them and for a reader."""


@dataclass(frozen=True)
class Evidence:
    """All that a generator may look at.

    Attributes:
        target_label: the label under suspicion.
        target: rows of that label that no trigger found so far explains.
        other: rows of all other labels.
        weights: how suspicious each target row is; 1 on average.
        history: earlier proposals with their rewards, best last.
        iteration: the round, from 1.
        iterations: how many rounds there may be.
        found: triggers accepted so far; their rows are not among ``target``.
        views: other rankings of the target rows, the higher the more suspicious; empty without any.
    """

    target_label: int
    target: Sequence[Example]
    other: Sequence[Example]
    weights: Sequence[float]
    history: Sequence[Scored] = field(default_factory=tuple)
    iteration: int = 1
    iterations: int = 1
    found: Sequence[Trigger] = ()
    views: Sequence[Sequence[float]] = ()


class Generator(Protocol):
    """Proposes triggers."""

    name: str
    """The backend, as it is named beside every result."""

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """New hypotheses, most promising first; an empty list when it has no more."""


@runtime_checkable
class Steered(Generator, Protocol):
    """A generator that may do better the next time, as it learns from its history or draws anew."""

    patience: int
    """Rounds in a row without an accepted trigger that end a search; half as many once it has found some."""
    limit: int
    """Triggers after which it is over."""

    def stopped(self) -> str | None:
        """Why it cannot propose any more (budget, failures), in one sentence; None while it can."""


@runtime_checkable
class Rewriter(Protocol):
    """Applies a rewriting trigger."""

    control: str
    """An instruction that changes the wording and brings in no style; empty where there is none to compare with."""

    def rewritable(self, text: str) -> bool:
        """Whether a text can be rewritten at all."""

    def rewrite(self, instruction: str, texts: Sequence[str]) -> list[str | None]:
        """A rewrite of each text, None where none came; same length and order."""


class OfflineGenerator:
    """Words, phrases, sentences and openings mined from D_tgt against D_ntgt. No LLM.

    Args:
        limit: candidates of each of the three kinds (words, longer n-grams, openings).
        min_rows: an n-gram in fewer target rows is no candidate.
        min_share: nor is one in a smaller share of all rows.
    """

    name = "offline"

    def __init__(self, limit: int = 80, min_rows: int = 4, min_share: float = 0.001) -> None:
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


class RandomGenerator:
    """Random words of the target rows, as many candidates and rounds as an LLM gets. The control.

    Args:
        count: candidates of a round.
        patience: rounds in a row without an accepted trigger before a label is given up.
        seed: seed of the draws.
    """

    name = "random"
    limit = 1000

    def __init__(self, count: int, patience: int, seed: int) -> None:
        self.count, self.patience, self.seed = count, patience, seed

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """Words that were not tried before."""
        tried = {scored.trigger.text for scored in evidence.history}
        words = sorted({word for example in evidence.target for word in units(example.text.lower())} - tried)
        rng = random.Random(f"{self.seed}:random:{evidence.target_label}:{evidence.iteration}")
        return [Trigger(Kind.WORD, word) for word in rng.sample(words, min(self.count, len(words)))]

    def stopped(self) -> str | None:
        """None: it can always draw again."""
        return None
