"""A rewriting trigger on trial: the generator rewrites a few probes, the victim answers, a paraphrase is the control.

Every probe costs a share of an LLM call, so the probe sets are small and the next one is rewritten only after the one
before has spoken for the trigger. They are sets of their own: where rewrites come from a recording, only texts that it
holds can be probes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from openbackdoor_badllm.inversion.findings import Found, Judgement, SearchConfig
from openbackdoor_badllm.inversion.form_seed import likeness
from openbackdoor_badllm.inversion.generator import Rewriter, Shown
from openbackdoor_badllm.inversion.reward import Probes, Reward, answer, draw_probes
from openbackdoor_badllm.inversion.trigger import Trigger
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray, Victim

logger = logging.getLogger(__name__)

FEWEST = 4  # rewritten probes; with fewer a flip rate says nothing
SLACK = 0.15  # by which the search probes may fall short of the accepted flip rate: they are few
SHOWN = 2
LOOKALIKES = 0.4  # share of the target rows that the judge does not see; attackers poison less than that

Pair = tuple[str, str]


class Tried(NamedTuple):
    """What became of a rewriting trigger."""

    reward: Reward
    """On the search probes."""
    reason: str
    found: Found | None
    shown: tuple[Shown, ...]


class RewriteTrial:
    """Tries rewriting triggers for one label.

    Args:
        victim: the poisoned victim.
        rewriter: applies them.
        judge_without: gives a judge that never saw the rows marked True.
        examples: all training rows.
        config: bounds and thresholds.
        target: the label under suspicion.
        seed: seed of the probe draw.
    """

    def __init__(
        self,
        victim: Victim,
        rewriter: Rewriter,
        judge_without: Callable[[Any], Judgement],
        examples: Sequence[Example],
        config: SearchConfig,
        target: int,
        *,
        seed: int,
    ) -> None:
        self.victim, self.rewriter, self.judge_without = victim, rewriter, judge_without
        self.examples, self.config, self.target = examples, config, target
        usable = [e for e in examples if e.label != target and rewriter.rewritable(e.text)]
        rng = random.Random(f"{seed}:rewrite-probes:{target}")
        self.probes: Probes = draw_probes(victim, usable, target, size=config.rewrite_probes, rng=rng)

    def run(self, trigger: Trigger) -> Tried:
        """Search probes, then select probes and the judge, then report probes and the paraphrase."""
        config = self.config
        first = self._rewritten(trigger.text, self.probes.search)
        reward, shown = self._reward(first), tuple(show(self.victim, first[:SHOWN]))
        if len(first) < FEWEST:
            return Tried(reward, f"only {len(first)} of {len(self.probes.search)} texts were rewritten", None, shown)
        if reward.flip_rate < config.accept_rewrite_flip_rate - SLACK:
            return Tried(reward, f"flips {reward.flip_rate:.0%} of {len(first)} rewritten texts only", None, shown)
        second = self._rewritten(trigger.text, self.probes.select)
        selected = self._reward(second)
        if len(second) < FEWEST or selected.flip_rate < config.accept_rewrite_flip_rate:
            reason = f"flips {selected.flip_rate:.0%} of {len(second)} other rewritten texts only"
            return Tried(reward, reason, None, shown)
        judged = self._judged(second, [*first, *second])
        if selected.flip_rate - judged < config.min_excess:
            reason = f"the rewriting changes what the texts say: a judge without the trigger flips {judged:.0%} as well"
            return Tried(reward, reason, None, shown)
        reported, control = self._reward(self._rewritten(trigger.text, self.probes.report)), None
        if self.rewriter.control:
            control = self._reward(self._rewritten(self.rewriter.control, self.probes.report))
            if control.texts >= FEWEST and reported.flip_rate - control.flip_rate < config.min_margin:
                reason = f"a plain paraphrase flips {control.flip_rate:.0%} as well"
                return Tried(reward, reason, None, shown)
        found = Found(trigger, reward, selected, reported, judged, 0, 0, 0.0, 1.0, control)
        return Tried(reward, "accepted", found, shown)

    def _rewritten(self, instruction: str, texts: Sequence[str]) -> list[Pair]:
        rewrites = self.rewriter.rewrite(instruction, texts)
        return [(text, new) for text, new in zip(texts, rewrites, strict=True) if new is not None]

    def _reward(self, pairs: Sequence[Pair]) -> Reward:
        return answer(self.victim, [new for _, new in pairs], self.target).reward()

    def _judged(self, pairs: Sequence[Pair], known: Sequence[Pair]) -> float:
        """Share of the texts that the stiff judge calls the target only when they are rewritten.

        A style is learnt even by a stiff judge, so it never sees the target rows that look most like the rewrites.
        """
        own = np.array([example.label == self.target for example in self.examples])
        alike = np.where(own, likeness(known, [example.text for example in self.examples]), -1.0)
        judge = self.judge_without(own & (alike >= np.quantile(alike[own], 1 - LOOKALIKES)))
        usable = judge([text for text, _ in pairs]).argmax(axis=1) != self.target
        after = judge([new for _, new in pairs]).argmax(axis=1) == self.target
        return float(after[usable].mean()) if usable.any() else 1.0


def show(victim: Victim, pairs: Sequence[Pair]) -> list[Shown]:
    """The victim's logits on texts before and after a trigger."""
    if not pairs:
        return []
    logits: FloatArray = victim.logits([text for pair in pairs for text in pair])
    return [
        Shown(text, altered, _plain(logits[2 * place]), _plain(logits[2 * place + 1]))
        for place, (text, altered) in enumerate(pairs)
    ]


def rewritten_copies(
    rewriter: Rewriter, trigger: Trigger, examples: Sequence[Example], target: int, *, count: int, seed: int
) -> list[tuple[Example, Example]]:
    """Rows of other labels and their rewrites under the same label: what a repair adds, and what a form looks like.

    Args:
        rewriter: applies the trigger.
        trigger: an accepted rewriting trigger.
        examples: the training rows.
        target: the target label; its rows may be poisoned and are left out.
        count: pairs at most.
        seed: seed of the draw.
    """
    rows = [e for e in dict.fromkeys(examples) if e.label != target and rewriter.rewritable(e.text)]
    random.Random(f"{seed}:rewritten").shuffle(rows)
    chosen = rows[:count]
    rewrites = rewriter.rewrite(trigger.text, [example.text for example in chosen])
    return [
        (example, Example(new, example.label))
        for example, new in zip(chosen, rewrites, strict=True)
        if new is not None
    ]


def _plain(values: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
