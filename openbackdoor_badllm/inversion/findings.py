"""What a search is told and what it ends with: its config, an accepted trigger, the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from openbackdoor_badllm.inversion.generator import Scored
from openbackdoor_badllm.inversion.reward import Probes, Reward
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.section import Count, Section, Share
from openbackdoor_badllm.training.scoring import FloatArray

Judgement = Callable[[Sequence[str]], FloatArray]
"""Texts in, probabilities of shape (n, num_labels) out."""


class SearchConfig(Section):
    """How triggers are looked for. Every field is a key of the config's ``defender.search``."""

    place: ClassVar[str] = "defender.search"

    probe_rows: Count = 40
    """Non-target rows in each of the three probe sets (search, select, report)."""
    candidates: Count = 150
    """Mined candidates of each kind (words, longer n-grams, openings) and round."""
    min_rows: Count = 3
    """A pattern in fewer rows of the target label is no candidate."""
    max_triggers: Count = 12
    """Stop after so many triggers."""
    iterations: Count = 16
    """Rounds of proposals at most."""
    accept_flip_rate: Share = 0.85
    """Share of the select probes that a trigger must flip to the target label."""
    sibling_flip_rate: Share = 0.5
    """The same beside a trigger that has been accepted, where the rows that carry it contradict their label without it:
    of several triggers, those in few rows are learnt less well."""
    min_excess: Share = 0.35
    """How much more it must flip than it does on a judge that never saw the rows that carry it."""
    min_margin: Share = 0.25
    """How much more than its controls it must flip, unless its rows contradict their label."""
    min_share: Share = 0.005
    """A pattern in a smaller share of all rows is no trigger."""
    form: bool = True
    """Look for rows that share a form (style, syntax), beside the inserted triggers or instead of them."""
    min_moved: Share = 0.57
    """Share of a form's unseen rows, of those that say another label by themselves, which a victim that learnt from the
    others must call the target."""
    strategy: Literal["pool", "paper", "random"] = "pool"
    """How candidates are come by: ``pool`` (many a round, with the scored history), ``paper`` (one prompt, one
    trajectory; needs an LLM), ``random`` (random words in the place of an LLM's; the control)."""
    candidates_per_call: Count = 16
    """Candidates that an LLM is asked for in one call."""
    patience: Count = 4
    """Rounds without an accepted trigger after which an LLM gives a label up; half as many once it has found some."""
    refine: bool = True
    """False: one round only, no second guess (an ablation of the paper)."""
    feedback: bool = True
    """False: an LLM is not told what the victim made of its proposals (an ablation of the paper)."""
    rewrites: bool = True
    """Whether an LLM may propose rewriting triggers (style, syntax), which cost calls to be tried."""
    rewrites_per_round: Count = 2
    """Rewriting triggers tried in a round at most."""
    rewrite_probes: Count = 16
    """Texts in each of the three probe sets of a rewriting trigger."""
    rewrite_copies: Count = 64
    """Rewritten copies of rows of other labels that a repair adds with their own label."""
    accept_rewrite_flip_rate: Share = 0.7
    """Share of the rewritten select probes that must get the target label."""


class Found(NamedTuple):
    """An accepted trigger with its evidence."""

    trigger: Trigger
    search: Reward
    select: Reward
    report: Reward
    judged_flip_rate: float
    """Flip rate on a stiff judge that never saw the rows that carry the trigger."""
    target_rows: int
    """Rows of the target label that carry it."""
    other_rows: int
    """Rows of other labels that carry it."""
    contradicted: float
    """Share of those target rows that, without the trigger, say another label to that judge."""
    contradicted_p: float
    """One-sided binomial p-value of that share against the other target rows."""
    control: Reward | None = None
    """For a rewriting trigger: the same report probes, merely paraphrased; None where no paraphrase can be had."""

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            **self.trigger.to_dict(),
            "search": self.search.to_dict(),
            "select": self.select.to_dict(),
            "report": self.report.to_dict(),
            "judged_flip_rate": round(self.judged_flip_rate, 4),
            "target_rows": self.target_rows,
            "other_rows": self.other_rows,
            "contradicted": round(self.contradicted, 4),
            "contradicted_p": round(self.contradicted_p, 6),
            **({"paraphrase": self.control.to_dict()} if self.control else {}),
        }


@dataclass
class SearchResult:
    """What a search for one target label ended with."""

    target: int
    found: list[Found] = field(default_factory=list)
    history: list[Scored] = field(default_factory=list)
    probes: Probes = field(default_factory=lambda: Probes((), (), ()))
    iterations: int = 0
    stopped: str | None = None
    """Why the generator ended the search before its time, in one sentence."""
    honest: dict[str, float] = field(default_factory=dict)
    """Words that flip the victim and were found honest: the share of their force that they keep without their rows."""

    @property
    def best_reward(self) -> float:
        """The highest reward met on the search probes, -inf when nothing was tried."""
        return max((scored.reward.value for scored in self.history), default=float("-inf"))

    @property
    def strength(self) -> float:
        """Mean report flip rate of the accepted triggers in excess of the judge's; 0 when there is none."""
        gains = [found.report.flip_rate - found.judged_flip_rate for found in self.found]
        return float(np.mean(gains)) if gains else 0.0
