"""One conversation with a language model about all labels, after statistics have spoken.

The model is shown rows of every label, what statistics found and what the victim made of the candidates so far. Each
candidate goes to the search of the label that it leads to. What statistics found stays found: the model adds to it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.scoring import log_softmax
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator, with_openings
from openbackdoor_badllm.trigger_generator.prompt_builder import Group, Survey, ranked
from openbackdoor_badllm.trigger_generator.proposals import Evidence
from openbackdoor_badllm.trigger_generator.search import search_label
from openbackdoor_badllm.trigger_generator.search_records import LabelSearch
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle
from openbackdoor_badllm.trigger_generator.trigger import Trigger, kind_of

PLAIN = 40  # ordinary rows of a label
QUOTED = re.compile(r"[\"\u201c]([^\"\u201c\u201d]{1,60})[\"\u201d]")
INSERTING = re.compile(
    r"\W*(?:please )?(?:add|insert|append|prepend|put|place|include)\b[^\"\u201c\u201d]{0,60}"
    r"[\"\u201c][^\"\u201c\u201d]{1,60}[\"\u201d][^\"\u201c\u201d]{0,60}",
    re.IGNORECASE,
)  # an instruction that puts words in and asks for nothing else
FEWEST = 3  # rows that carry words which an instruction quotes


class Given:
    """Candidates that are tried as they are; the language model behind them rewrites.

    Args:
        triggers: the candidates.
        llm: applies rewriting ones.
    """

    patience, limit = 1, 1000

    def __init__(self, triggers: Sequence[Trigger], llm: LLMGenerator) -> None:
        self.triggers, self.llm = list(triggers), llm
        self.name, self.control = llm.name, llm.control

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """The candidates; the search leaves out those that it has tried."""
        return self.triggers

    def stopped(self) -> str | None:
        """None: candidates that are there cost nothing to try."""
        return None

    def rewritable(self, text: str) -> bool:
        """See :class:`~.proposals.Rewriter`."""
        return self.llm.rewritable(text)

    def rewrite(self, instruction: str, texts: Sequence[str]) -> list[str | None]:
        """See :class:`~.proposals.Rewriter`."""
        return self.llm.rewrite(instruction, texts)


class Conversation:
    """Asks a language model about all labels until it brings nothing new.

    Args:
        llm: the model.
        victim: its loss is the reward.
        evidence: the training rows.
        config: how.
        progress: listener.
        searches: what statistics found, by label, most suspicious first; the searches that go on take their place.
        styles: the accepted styles, by label.
    """

    def __init__(
        self,
        llm: LLMGenerator,
        victim: Victim,
        evidence: RowEvidence,
        config: AuditConfig,
        progress: Progress,
        searches: dict[int, LabelSearch],
        styles: Mapping[int, SharedStyle],
    ) -> None:
        self.llm, self.victim, self.evidence = llm, victim, evidence
        self.config, self.progress = config, progress
        self.searches, self.styles = searches, styles
        self._carriers = lru_cache(maxsize=None)(self._count)

    def run(self, deadline: Deadline) -> None:
        """Rounds of questions: one after statistics found something, else until patience or the time is over."""
        turns = self.config.search.iterations if self.config.search.refine else 1
        idle = 0
        for turn in range(1, turns + 1):
            if self.llm.stopped() is not None or deadline.passed:
                break
            self.progress.stage(f"(b) ask the language model about all labels, question {turn}")
            survey = Survey(self._groups(), turn, turns, self.counts)
            proposed = self.llm.candidates(survey, self._place)
            accepted = self._try(proposed)
            idle = 0 if accepted else idle + 1
            found = bool(self.styles) or any(search.found for search in self.searches.values())
            if idle >= (1 if found else self.llm.patience):
                break

    def _try(self, proposed: Sequence[tuple[Trigger, int]]) -> int:
        """Tries candidates, each on its label; how many were accepted."""
        tried: list[list[int]] = []
        self.llm.rounds[-1]["tried"] = tried
        accepted = 0
        for label in dict.fromkeys(label for _, label in proposed):
            earlier = self.searches[label]
            triggers = self._with_free_ones([trigger for trigger, own in proposed if own == label], label)
            if not triggers or (accepted and self.llm.recorded):  # a recording knows one trigger
                continue
            search = search_label(
                label, self.victim, Given(triggers, self.llm), self.evidence, self.config, self.progress, earlier
            )
            self.searches[label] = search
            tried += [[label, iteration] for iteration in range(earlier.iterations + 1, search.iterations + 1)]
            accepted += len(search.found) - len(earlier.found)
        self.llm.kept += accepted
        return accepted

    def _with_free_ones(self, triggers: Sequence[Trigger], label: int) -> list[Trigger]:
        """The candidates of a label with what costs no question: openings, and words that an instruction quotes.

        Rewriting is left out where statistics settle the matter: a style or a trigger explains the label already, or
        the instruction only puts words in, which are tried as such.
        """
        settled = label in self.styles or bool(self.searches[label].found)
        quoted = [
            Trigger(kind_of(text), text)
            for trigger in triggers if not trigger.is_insertion
            for text in QUOTED.findall(trigger.text)
            if text.strip() and self.counts(Trigger(kind_of(text), text), label)[0] >= FEWEST
        ]
        texts = [example.text for example in self.evidence.examples if example.label == label]
        kept = [
            trigger for trigger in triggers
            if trigger.is_insertion or not (settled or INSERTING.fullmatch(trigger.text))
        ]
        return with_openings([*kept, *quoted], texts)

    def _place(self, trigger: Trigger, label: int | None) -> int | None:
        """The label on which a candidate is tried: the one it names, or the one whose rows carry it; None for none."""
        if not trigger.is_insertion:
            return label if label in self.searches else next(iter(self.searches))
        if label in self.searches and self.counts(trigger, label)[0]:
            return label
        best = max(self.searches, key=lambda other: self.counts(trigger, other)[0])
        return best if self.counts(trigger, best)[0] else None

    def counts(self, trigger: Trigger, label: int) -> tuple[int, int]:
        """Rows of a label, and rows of others, that carry a trigger."""
        carriers = self._carriers(trigger)
        return carriers[label], carriers.total() - carriers[label]

    def _count(self, trigger: Trigger) -> Counter[int]:
        return Counter(example.label for example in self.evidence.examples if trigger.carries(example.text))

    def _groups(self) -> list[Group]:
        """The labels as the model sees them: those that are searched, then the others."""
        present = [int(label) for label in np.unique(self.evidence.labels)]
        return [self._group(label) for label in dict.fromkeys([*self.searches, *present])]

    def _group(self, label: int) -> Group:
        rows, search = self.evidence, self.searches.get(label, LabelSearch(label))
        examples, style = rows.examples, self.styles.get(label)
        explained, foremost = set(style.rows) if style else set(), set(rows.foremost)
        left = [
            int(i) for i in np.flatnonzero(rows.labels == label)
            if i not in explained and not any(found.trigger.carries(examples[i].text) for found in search.found)
        ]
        order = ranked([float(rows.weights[i]) for i in left], [[float(view[i]) for i in left] for view in rows.views])
        order.sort(key=lambda place: left[place] not in foremost)  # stable
        ordinary = [examples[int(i)].text for i in np.flatnonzero(rows.ordinary & (rows.labels == label))]
        plain = random.Random(f"{self.config.seed}:plain:{label}").sample(ordinary, min(PLAIN, len(ordinary)))
        return Group(
            label, [examples[left[place]].text for place in order], plain, search,
            style.marks if style else (), self._base(label, search),
        )

    def _base(self, label: int, search: LabelSearch) -> float:
        """The victim's mean log-probability of a label on the unaltered probes."""
        probes = set(search.probes.search)
        said = [i for i, example in enumerate(self.evidence.examples) if example.text in probes]
        return float(log_softmax(self.evidence.said[said])[:, label].mean()) if said else -5.0
