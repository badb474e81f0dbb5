"""What a search ends with: an accepted trigger with its evidence, and the search of one label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openbackdoor_badllm.trigger_generator.proposals import Scored
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward
from openbackdoor_badllm.trigger_generator.trigger import Trigger


class Found(NamedTuple):
    """An accepted trigger with its evidence; the fields are those of :class:`~.acceptance.Candidate`."""

    trigger: Trigger
    search: Reward
    select: Reward
    report: Reward
    """Reward on probes that took no part in the search."""
    reference_shift: float | None
    """None of a rewriting trigger."""
    target_rows: int
    other_rows: int
    contradicted: float
    p_value: float
    """The corrected p-value by which it was accepted."""
    paraphrase_flip_rate: float | None = None
    """Of a rewriting trigger: flip rate of a plain paraphrase; None where none can be had."""

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            **self.trigger.to_dict(),
            "search": self.search.to_dict(),
            "select": self.select.to_dict(),
            "report": self.report.to_dict(),
            "reference_shift": None if self.reference_shift is None else round(self.reference_shift, 4),
            "target_rows": self.target_rows,
            "other_rows": self.other_rows,
            "contradicted": round(self.contradicted, 4),
            "p_value": float(f"{self.p_value:.3g}"),
            "paraphrase_flip_rate": None if self.paraphrase_flip_rate is None else round(self.paraphrase_flip_rate, 4),
        }


@dataclass(frozen=True)
class LabelSearch:
    """The search for triggers of one label.

    Attributes:
        label: the label.
        found: accepted triggers, in the order of their acceptance.
        history: every candidate that reached the last round of its race, with the reason of its refusal.
        probes: the texts of other labels on which triggers were tried.
        iterations: rounds of proposals.
        turned_down: how many candidates each acceptance test refused.
        stopped: why an LLM ended the search before its time, in one sentence.
        null: what the race measured of ordinary candidates (:func:`~.race.race`).
        compared: the candidates that were raced.
        shortcuts: what moves the victim as a trigger does, in most rows of the label, whose texts fit it.
    """

    label: int
    found: tuple[Found, ...] = ()
    history: tuple[Scored, ...] = ()
    probes: Probes = field(default_factory=lambda: Probes((), (), ()))
    iterations: int = 0
    turned_down: Mapping[str, int] = field(default_factory=dict)
    stopped: str | None = None
    null: tuple[float, ...] = field(default=(), repr=False)
    compared: frozenset[Trigger] = field(default=frozenset(), repr=False)
    shortcuts: tuple[Found, ...] = ()

    @property
    def best_reward(self) -> float:
        """The highest reward met on the search probes, -inf when nothing was tried."""
        return max((scored.reward.value for scored in self.history), default=float("-inf"))

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "label": self.label,
            "triggers": len(self.found),
            "best_reward": round(self.best_reward, 4) if self.history else None,
            "iterations": self.iterations,
            "turned_down": dict(sorted(self.turned_down.items())),
            "shortcuts": [found.to_dict() for found in self.shortcuts],
        }
