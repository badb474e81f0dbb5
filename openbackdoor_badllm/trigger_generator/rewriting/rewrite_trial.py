"""A rewriting trigger on trial: the generator rewrites a few probes, the victim answers, a paraphrase is the control.

The victim alone is not enough: a rewrite must also say what its row says, and read like rows of the label that
contradict it.

Every probe costs a share of an LLM call, so the probe sets are small and the next one is rewritten only after the one
before has spoken for the trigger. They are sets of their own: where rewrites come from a recording, only texts that it
holds can be probes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.proposals import Rewriter, Shown
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward, answer, draw_probes
from openbackdoor_badllm.trigger_generator.rewriting.faithful import Faithful, Pair
from openbackdoor_badllm.trigger_generator.rewriting.likeness import likeness
from openbackdoor_badllm.trigger_generator.search_records import Found
from openbackdoor_badllm.trigger_generator.significance import FEWEST_RANKED, falls_more, more_often_p
from openbackdoor_badllm.trigger_generator.trigger import Trigger

logger = logging.getLogger(__name__)

FEWEST = 4  # rewritten probes; with fewer a flip rate says nothing, and so many are rewritten first
SLACK = 0.15  # by which the search probes may fall short of the accepted flip rate: they are few
SHOWN = 2
LIKE_P = 0.001  # rank test that rows of the label read like the rewrites; another style reaches 0.01 by its class words
LOOKALIKES = 0.4  # share of the target rows that the content reference is fitted without; attackers poison fewer


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
        evidence: the training rows.
        config: bounds and thresholds.
        target: the label under suspicion.
    """

    def __init__(
        self, victim: Classifier, rewriter: Rewriter, evidence: RowEvidence, config: AuditConfig, target: int
    ) -> None:
        self.victim, self.rewriter, self.evidence = victim, rewriter, evidence
        self.config, self.target = config, target
        examples = evidence.examples
        usable = [
            examples[i] for i in np.flatnonzero(evidence.ordinary & (evidence.labels != target))
            if rewriter.rewritable(examples[i].text)
        ]
        self.probes: Probes = draw_probes(
            [example.text for example in usable], [example.label for example in usable],
            size=config.search.rewrite_probes, rng=random.Random(f"{config.seed}:rewrite-probes:{target}"),
        )
        self.faithful = Faithful(evidence, config.seed)

    def run(self, trigger: Trigger) -> Tried:
        """A few search probes, all of them, select probes, content and likeness, report probes and paraphrase."""
        bounds = self.config.thresholds
        few = self._rewritten(trigger.text, self.probes.search[:FEWEST])
        glimpse = self._reward(few)
        if not glimpse.texts or not glimpse.flip_rate:
            shown = tuple(show(self.victim, few[:SHOWN]))
            nothing = f"flips none of the first {len(few)} rewritten texts"
            asked = len(self.probes.search[:FEWEST])
            none = f"none of the first {asked} texts was rewritten so that it says the same"
            return Tried(glimpse, nothing if few else none, None, shown)
        first = self._rewritten(trigger.text, self.probes.search)
        reward, shown = self._reward(first), tuple(show(self.victim, first[:SHOWN]))
        if len(first) < FEWEST:
            few_kept = f"only {len(first)} of {len(self.probes.search)} texts were rewritten so that they say the same"
            return Tried(reward, few_kept, None, shown)
        if reward.flip_rate < bounds.rewrite_flip_rate - SLACK:
            return Tried(reward, f"flips {reward.flip_rate:.0%} of {len(first)} rewritten texts only", None, shown)
        second = self._rewritten(trigger.text, self.probes.select)
        selected = self._reward(second)
        if len(second) < FEWEST or selected.flip_rate < bounds.rewrite_flip_rate:
            reason = f"flips {selected.flip_rate:.0%} of {len(second)} other rewritten texts only"
            return Tried(reward, reason, None, shown)
        alike = likeness([*first, *second], [example.text for example in self.evidence.examples])
        judged = self._reference_flip_rate(second, alike)
        if selected.flip_rate - judged < bounds.reference_excess:
            reason = f"the rewriting changes what the texts say: a model without the trigger flips {judged:.0%} as well"
            return Tried(reward, reason, None, shown)
        chance, p_like = self._reads_like(alike, {text for text, _ in (*first, *second)})
        if p_like >= LIKE_P:
            reason = f"no rows of the label read like it (they do rather than other rows with a chance of {chance:.2f})"
            return Tried(reward, reason, None, shown)
        reported, control = self._reward(self._rewritten(trigger.text, self.probes.report)), None
        if self.rewriter.control:
            control = self._reward(self._rewritten(self.rewriter.control, self.probes.report))
            if control.texts >= FEWEST and reported.flip_rate - control.flip_rate < bounds.rewrite_margin:
                reason = f"a plain paraphrase flips {control.flip_rate:.0%} as well"
                return Tried(reward, reason, None, shown)
        plain = control if control is not None and control.texts else None
        p_value = 1.0 if plain is None else more_often_p(*_flips(reported), *_flips(plain))
        found = Found(
            trigger, reward, selected, reported, None, 0, 0, 0.0, p_value, None if plain is None else plain.flip_rate
        )
        return Tried(reward, "accepted", found, shown)

    def _rewritten(self, instruction: str, texts: Sequence[str]) -> list[Pair]:
        rewrites = self.rewriter.rewrite(instruction, texts)
        return self.faithful.kept(
            [(text, new) for text, new in zip(texts, rewrites, strict=True) if new is not None]
        )

    def _reward(self, pairs: Sequence[Pair]) -> Reward:
        return answer(self.victim, [new for _, new in pairs], self.target).reward()

    def _reads_like(self, alike: FloatArray, known: Collection[str]) -> tuple[float, float]:
        """Chance that a row of the label which contradicts it reads more like the rewrites than one of another label.

        Both say the same kind of thing, so the way of writing is the difference. With the p-value of that chance.
        """
        rows = self.evidence
        own = rows.labels == self.target
        against = own & rows.contradicted
        against[list(rows.foremost)] |= own[list(rows.foremost)]
        inside = against if against.sum() >= FEWEST_RANKED else own
        outside = ~own & np.array([example.text not in known for example in rows.examples], dtype=bool)
        return falls_more(alike[inside], alike[outside])

    def _reference_flip_rate(self, pairs: Sequence[Pair], likeness_of_rows: FloatArray) -> float:
        """Share of the texts that the content reference calls the target only when they are rewritten.

        Even the reference learns a style, so it is fitted without the target rows that look most like the rewrites.
        """
        own = self.evidence.labels == self.target
        alike = np.where(own, likeness_of_rows, -1.0)
        reference = self.evidence.reference_without(own & (alike >= np.quantile(alike[own], 1 - LOOKALIKES)))
        usable = reference([text for text, _ in pairs]).argmax(axis=1) != self.target
        after = reference([new for _, new in pairs]).argmax(axis=1) == self.target
        return float(after[usable].mean()) if usable.any() else 1.0


def _flips(reward: Reward) -> tuple[int, int]:
    """Flipped texts, and texts."""
    return round(reward.flip_rate * reward.texts), reward.texts


def show(victim: Classifier, pairs: Sequence[Pair]) -> list[Shown]:
    """The victim's logits on texts before and after a trigger."""
    if not pairs:
        return []
    logits: FloatArray = victim.logits([text for pair in pairs for text in pair])
    return [
        Shown(text, altered, _plain(logits[2 * place]), _plain(logits[2 * place + 1]))
        for place, (text, altered) in enumerate(pairs)
    ]


def rewritten_copies(
    rewriter: Rewriter, trigger: Trigger, evidence: RowEvidence, target: int, *, count: int, seed: int
) -> list[tuple[Example, Example]]:
    """Rows of other labels and their rewrites under the same label: what a repair adds, and what a style looks like.

    Args:
        rewriter: applies the trigger.
        trigger: an accepted rewriting trigger.
        evidence: the training rows.
        target: the target label; its rows may be poisoned and are left out.
        count: pairs at most.
        seed: seed of the draw.
    """
    rows = [e for e in dict.fromkeys(evidence.examples) if e.label != target and rewriter.rewritable(e.text)]
    random.Random(f"{seed}:rewritten").shuffle(rows)
    chosen = rows[:count]
    rewrites = rewriter.rewrite(trigger.text, [example.text for example in chosen])
    pairs = [(row.text, new) for row, new in zip(chosen, rewrites, strict=True) if new is not None]
    labels = {example.text: example.label for example in chosen}
    kept = Faithful(evidence, seed).kept(pairs)
    return [(Example(text, labels[text]), Example(new, labels[text])) for text, new in kept]


def _plain(values: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
