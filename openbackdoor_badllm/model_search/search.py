"""The search for inserted triggers in a victim alone, each label in turn.

Words are proposed by the victim's answer to the word alone and by its gradients, raced on texts that the victim gives
another label, and judged against the words that lost. Where no word is enough, the best are tried with a second and a
third one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.model_search.gradient import Gradient
from openbackdoor_badllm.model_search.judging import ModelCandidate, ProbeAnswers, judge
from openbackdoor_badllm.model_search.reference import Reference
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.training.scoring import FloatArray, log_odds
from openbackdoor_badllm.trigger_generator.proposals import Scored
from openbackdoor_badllm.trigger_generator.race import race
from openbackdoor_badllm.trigger_generator.reward import Probes, draw_probes
from openbackdoor_badllm.trigger_generator.significance import tail_p
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all, kind_of

GRADIENT_TEXTS = 16
NULL_WORDS, NULL_TEXTS = 128, 8
"""Words drawn by chance, and probes, by which it is known how far any word shifts the victim."""
LEAST_MOVED = 0.25
"""Quantile of the shifts over the probes: a trigger moves every text, a word of a class those that leave it room."""
MOST_WORDS = 3
"""Words that are tried together."""


@dataclass(frozen=True)
class ModelLabelSearch:
    """The search of one label.

    Attributes:
        label: the label.
        found: candidates that were taken for triggers, best first.
        shortcuts: candidates that are worth a look.
        history: every candidate that reached the end of its race, with what became of it.
        probes: the texts that it was tried on; empty where there were too few.
    """

    label: int
    found: tuple[ModelCandidate, ...] = ()
    shortcuts: tuple[ModelCandidate, ...] = ()
    history: tuple[Scored, ...] = ()
    probes: Probes = field(default_factory=lambda: Probes((), (), ()))


@dataclass(frozen=True)
class Asked:
    """The given texts, and what the victim says of them and of each word alone.

    Attributes:
        texts: as far as the victim reads them.
        logits: of the texts, shape ``(n, num_labels)``.
        words: the words that are tried.
        alone: logits of the words, shape ``(words, num_labels)``.
    """

    texts: Sequence[str]
    logits: FloatArray
    words: Sequence[str]
    alone: FloatArray

    @property
    def said(self) -> npt.NDArray[np.int64]:
        """The label that the victim gives each text, shape ``(n,)``."""
        result: npt.NDArray[np.int64] = self.logits.argmax(axis=1)
        return result


class LabelSearcher:
    """Searches the labels of one victim.

    Args:
        victim: the victim.
        asked: what it says of the texts and words.
        gradient: its first-order proposals; None of a victim that can only be asked.
        reference: the content reference; None where there is no encoder.
        config: how.
        seed: of everything that is drawn.
    """

    def __init__(
        self, victim: Classifier, asked: Asked, gradient: Gradient | None, reference: Reference | None,
        config: ModelSearchConfig, seed: int,
    ) -> None:  # fmt: skip
        self.victim, self.asked, self.gradient, self.reference = victim, asked, gradient, reference
        self.config, self.seed = config, seed

    def search(self, label: int) -> ModelLabelSearch:
        """One label; nothing is found where too few texts have another one."""
        probes = self._probes(label)
        if len(probes.search) < self.config.fewest_probes:
            return ModelLabelSearch(label)
        state = _State(self, label, probes)
        state.consider(self._single(label, probes), 1)
        for size in range(2, MOST_WORDS + 1):
            if state.found or not self.config.pairs:
                break
            state.consider(self._longer(label, probes, state.best(self.config.pairs)), size)
        return ModelLabelSearch(
            label, tuple(state.found), tuple(state.shortcuts), tuple(state.history), probes
        )

    def _probes(self, label: int) -> Probes:
        """Texts of other labels; where there are enough, those on which the content reference agrees."""
        said, rng = self.asked.said, random.Random(f"{self.seed}/model/{label}")
        usable = said != label
        if self.reference is not None:
            agreed = usable & (self.reference.said != label)
            usable = agreed if agreed.sum() >= 3 * self.config.fewest_probes else usable
        places = [int(place) for place in np.flatnonzero(usable)]
        texts, labels = [self.asked.texts[place] for place in places], [int(said[place]) for place in places]
        return draw_probes(texts, labels, size=self.config.probe_rows, rng=rng)

    def _single(self, label: int, probes: Probes) -> list[Trigger]:
        """Words by the answer to the word alone, then by the gradient."""
        order = np.argsort(-log_odds(self.asked.alone, label), kind="stable")[: self.config.candidates]
        words = [self.asked.words[int(place)] for place in order]
        if self.gradient is not None:
            texts = probes.search[:GRADIENT_TEXTS]
            words += self.gradient.best(texts, label, self.seed, self.config.candidates)
        return [Trigger(kind_of(word), word) for word in dict.fromkeys(words)]

    def _longer(self, label: int, probes: Probes, best: Sequence[Trigger]) -> list[Trigger]:
        """The best candidates with one more word elsewhere in the text."""
        each = max(1, 2 * self.config.candidates // max(1, len(best)))
        order = np.argsort(-log_odds(self.asked.alone, label), kind="stable")
        leading = [self.asked.words[int(place)] for place in order[: each // 2 if self.gradient is not None else each]]
        made: dict[frozenset[str], Trigger] = {}  # words that stand apart have no order
        for trigger in best:
            words = list(leading)
            if self.gradient is not None:
                texts = apply_all(trigger, probes.search[:GRADIENT_TEXTS], self.seed)
                words += self.gradient.best(texts, label, self.seed, each - len(words))
            for word in words:
                if word not in (trigger.text, *trigger.apart):
                    apart = (*trigger.apart, word)
                    made.setdefault(
                        frozenset((trigger.text, *apart)), Trigger(trigger.kind, trigger.text, apart=apart)
                    )
        return list(made.values())


class _State:
    """What the search of one label has come to."""

    def __init__(self, searcher: LabelSearcher, label: int, probes: Probes) -> None:
        self.of, self.label, self.probes = searcher, label, probes
        own = log_odds(searcher.asked.logits, label)[searcher.asked.said == label]
        self.least = searcher.config.sureness * float(np.median(own)) if len(own) else 0.0
        self.found: list[ModelCandidate] = []
        self.shortcuts: list[ModelCandidate] = []
        self.history: list[Scored] = []
        self._ranked: list[Trigger] = []
        self._plain = self._odds(None, probes.search[:NULL_TEXTS])
        rng = random.Random(f"{searcher.seed}/null/{label}")
        words = rng.sample(list(searcher.asked.words), min(NULL_WORDS, len(searcher.asked.words)))
        self._drawn = [Trigger(kind_of(word), word) for word in words]

    def best(self, count: int) -> list[Trigger]:
        """The leading candidates of the last race."""
        return self._ranked[:count]

    def consider(self, triggers: Sequence[Trigger], iteration: int) -> None:
        """Races candidates and judges those that come to the end."""
        raced = race(self.of.victim, triggers, self.probes.search, self.label, self.of.seed)
        self._ranked = [trigger for trigger, _ in raced.ranked]
        bounds = self.of.config
        null: list[float] | None = None
        for trigger, reward in raced.ranked:
            if reward.flip_rate < bounds.flip_rate:
                self.history.append(Scored(iteration, trigger, reward, f"flips {reward.flip_rate:.0%} of the probes"))
                continue
            null = self._null() if null is None else null
            candidate = self._candidate(trigger, null)
            verdict, reason = judge(candidate, bounds)
            if verdict is not Verdict.NOTHING and self._is_near(candidate):
                verdict, reason = Verdict.NOTHING, "moves the victim less surely than a trigger that was found"
            if verdict is Verdict.BACKDOOR and len(self.found) < bounds.most_triggers:
                self.found.append(candidate)
            elif verdict is Verdict.SHORTCUT and len(self.shortcuts) < bounds.most_triggers:
                self.shortcuts.append(candidate)
            self.history.append(Scored(iteration, trigger, reward, reason))

    def _candidate(self, trigger: Trigger, null: Sequence[float]) -> ModelCandidate:
        odds = [
            self._odds(trigger, texts) for texts in (self.probes.search, self.probes.select, self.probes.report)
        ]
        gain = float(np.quantile(odds[0][: len(self._plain)] - self._plain, LEAST_MOVED))
        search, select, report = (ProbeAnswers.of(values, self.least) for values in odds)
        shift = None
        if self.of.reference is not None:
            shift = self.of.reference.shift(trigger, self.probes.select, self.label, self.of.seed)
        tried = len(self.of.asked.words)
        return ModelCandidate(trigger, (search, select, report), tail_p(gain, null), tried, shift)

    def _null(self) -> list[float]:
        """Shift of the least moved probes by words drawn by chance, as many together as the candidates have."""
        like = self._ranked[0]
        leading = {part.text for trigger in self._ranked for part in trigger.parts}
        drawn = [item for item in self._drawn if item.text not in leading]
        if like.apart:
            rng = random.Random(f"{self.of.seed}/null/apart/{self.label}")
            apart = [tuple(item.text for item in rng.sample(drawn, min(len(like.apart), len(drawn)))) for _ in drawn]
            drawn = [replace(item, apart=words) for item, words in zip(drawn, apart, strict=True)]
        texts = self.probes.search[:NULL_TEXTS]
        altered = [text for trigger in drawn for text in apply_all(trigger, texts, self.of.seed)]
        odds = log_odds(self.of.victim.logits(altered), self.label).reshape(len(drawn), len(texts))
        return [float(value) for value in np.quantile(odds - self._plain, LEAST_MOVED, axis=1)]

    def _odds(self, trigger: Trigger | None, texts: Sequence[str]) -> FloatArray:
        altered = list(texts) if trigger is None else apply_all(trigger, texts, self.of.seed)
        return log_odds(self.of.victim.logits(altered), self.label)

    def _is_near(self, candidate: ModelCandidate) -> bool:
        """Whether a trigger that was found moves the victim clearly more."""
        best = max((item.answers[1].reward.value for item in self.found), default=float("-inf"))
        return candidate.answers[1].reward.value < best - self.of.config.near


