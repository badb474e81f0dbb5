"""G(x; p) on a language model: it reads rows, proposes triggers, is told what became of them, and rewrites texts.

Two ways to ask. ``pool`` (the default) asks about all labels at once, wants many candidates a call and shows what
statistics found and what was tried; where the first answer holds few candidates, the questions are short ones from then
on. ``paper`` follows one hypothesis of one label: first the target rows alone, then the hypothesis with the victim's
logits, one candidate a call.

Nothing that the model says counts by itself: a candidate that does not parse is dropped and counted, one that parses
goes to the victim.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.llm import Budget, ChatBackend, ChatRequest, Failed, Filtered, Ok, Outcome, extract_object
from openbackdoor_badllm.trigger_generator.hypotheses import clean_line, normal_form, read_candidates
from openbackdoor_badllm.trigger_generator.participation import participation
from openbackdoor_badllm.trigger_generator.prompt_builder import Questions, Survey, style_question
from openbackdoor_badllm.trigger_generator.proposals import Evidence
from openbackdoor_badllm.trigger_generator.rewriting.rewriter import Rewriting
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger

logger = logging.getLogger(__name__)

PARAPHRASE = "Say the same in other words: plain, natural, modern wording, no particular style or sentence pattern."
ATTEMPTS = 3  # of one question of ``paper``; ``pool`` asks another one
HOPELESS = frozenset({"replay", "bad_request", "local"})  # failures that the same question meets again
FEW = 4  # usable candidates; a model that gives fewer is asked short questions
MAX_NAME, MAX_INSTRUCTION = 120, 600
Place = Callable[[Trigger, "int | None"], "int | None"]


class LLMGenerator:
    """Proposes triggers and rewrites texts with a chat model.

    Args:
        backend: the model.
        budget: what it may spend.
        name: how it is named beside results.
        questions: how it is asked; the defaults when None.
        patience: rounds in a row without an accepted trigger before it is given up.
        required: whether it must take part.
        recorded: where rewrites come from a recording, the texts that it holds (white space made even).
        recorded_as: what to call the recording's instruction where it holds no proposals.

    Attributes:
        kept: candidates that the victim and the acceptance tests confirmed.
        described: styles that it named.
        labelled: questions about the labels of rows that it answered.
        label_check: what came of these, for ``results.json``.
        short: whether its questions are short ones.
    """

    def __init__(
        self,
        backend: ChatBackend,
        budget: Budget,
        *,
        name: str = "llm",
        questions: Questions | None = None,
        patience: int = 4,
        required: bool = False,
        recorded: Collection[str] | None = None,
        recorded_as: str = "",
    ) -> None:
        self.backend, self.budget, self.name = backend, budget, name
        self.questions = questions or Questions()
        self.patience = patience
        self.required = required
        self.limit = 1  # the paper's loop ends with its first trigger
        self.recorded = None if recorded is None else {" ".join(text.split()) for text in recorded}
        self.recorded_as = recorded_as
        # A recording answers any instruction with the same rewrites: a paraphrase cannot be had from it.
        self.control = PARAPHRASE if recorded is None else ""
        self.rewriting = Rewriting(backend, budget)
        self.rounds: list[dict[str, Any]] = []
        self.kept = self.described = self.labelled = 0
        self.label_check: dict[str, Any] = {}
        self.short = False
        self._shorts = 0

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """A new hypothesis of one label (``paper``); see :class:`~.proposals.Generator`."""
        note: dict[str, Any] = {"label": evidence.target_label, "iteration": evidence.iteration}
        known = {(normal_form(scored.trigger.text), None) for scored in evidence.history}
        asked = self.questions.ask(evidence)
        read = self._read(asked, note, known, attempts=ATTEMPTS)
        if read is None:
            return self._recorded(note) if evidence.iteration == 1 else []
        note["kept"] = len(read)
        return with_openings([trigger for trigger, _ in read], [example.text for example in evidence.target])

    def candidates(self, survey: Survey, place: Place) -> list[tuple[Trigger, int]]:
        """New hypotheses about all labels (``pool``), each with the label on which it is to be tried.

        Args:
            survey: the rows and what is known of each label.
            place: the label on which a candidate is tried, or None where no row carries it.
        """
        groups = survey.groups
        about = groups[self._shorts % len(groups)] if self.short else None
        if about is None:
            asked = self.questions.survey(survey)
        else:
            asked = self.questions.short(about, survey, 1 + self._shorts // len(groups))
            self._shorts += 1
        note: dict[str, Any] = {"form": "long" if about is None else "short", "label": (about or groups[0]).label}
        known = {
            (normal_form(trigger.text), group.label)
            for group in groups
            for trigger in (*group.search.compared, *(scored.trigger for scored in group.search.history))
        }
        read = self._read(asked, note, known, listed_for=about.label if about else None)
        if read is None:
            self.short = True
            tried = [(trigger, place(trigger, group.label)) for trigger in self._recorded(note) for group in groups]
            return [(trigger, label) for trigger, label in tried if label is not None]
        placed = []
        for trigger, label in read:
            tried_on = place(trigger, label)
            if tried_on is None:
                note["dropped"]["in no row"] = note["dropped"].get("in no row", 0) + 1
            else:
                placed.append((trigger, tried_on))
        note["kept"] = len(placed)
        self.short = self.short or (survey.turn == 1 and len(placed) < min(FEW, self.questions.count))
        return placed

    def name_style(
        self, inside: Sequence[str], outside: Sequence[str], marks: Sequence[str]
    ) -> tuple[str, str] | None:
        """The name of a style and the instruction to write in it; None where no usable answer came."""
        outcome = self.ask(style_question(inside, outside, marks))
        if not isinstance(outcome, Ok):
            return None
        answer = extract_object(outcome.text, ("name", "instruction"))
        name, instruction = (
            clean_line(value, limit) if isinstance(value, str) else ""
            for value, limit in ((answer["name"], MAX_NAME), (answer["instruction"], MAX_INSTRUCTION))
        )
        if not name:
            return None
        self.described += 1
        return name, instruction

    def stopped(self) -> str | None:
        """Why the model is not asked any more, in one sentence; None while it is."""
        return self.budget.stop()

    def rewritable(self, text: str) -> bool:
        """Whether the model, or the recording, can rewrite a text."""
        return self.recorded is None or " ".join(text.split()) in self.recorded

    def rewrite(self, instruction: str, texts: Sequence[str]) -> list[str | None]:
        """See :class:`~.proposals.Rewriter`; every rewrite has been checked."""
        return self.rewriting.rewrite(instruction, texts)

    def ask(self, asked: ChatRequest, attempts: int = 1) -> Outcome | None:
        """Asks until an answer is usable or asking again is no use; None where nothing was sent."""
        outcome: Outcome | None = None
        for attempt in range(attempts):
            if self.budget.stop() is not None:
                break
            outcome = self.backend.complete([replace(asked, sample=attempt)])[0]
            if isinstance(outcome, Ok | Filtered) or (isinstance(outcome, Failed) and outcome.kind in HOPELESS):
                break
            logger.info("the LLM gave no usable answer: %s", outcome.sentence)
        return outcome

    def report(self) -> dict[str, Any]:
        """Numbers for ``results.json``: what answered, its part in the run, what was spent and dropped and why.

        Raises:
            UserError: it took no part, and without it there is no verdict, or none is wanted.
        """
        dropped: Counter[str] = Counter()
        for note in self.rounds:
            dropped.update(note.get("dropped", {}))
        usage = self.budget.report()
        usable = sum(note.get("kept", 0) for note in self.rounds)
        part = participation(
            usage, usable=usable, kept=self.kept, dropped=dropped, described=self.described, labelled=self.labelled
        )
        if not part["took_part"] and (self.required or self.questions.paper):
            why = "llm.required is true" if self.required else "search.strategy 'paper' rests on it alone"
            raise UserError(f"The language model took no part, and {why}: {part['no_part']}. {part['advice']}".strip())
        return {
            **self.backend.describe(),
            "strategy": "paper" if self.questions.paper else "pool",
            **part,
            "label_check": self.label_check,
            "usage": usage,
            "rounds": self.rounds,
            "candidates": {"kept": usable, "dropped": dict(sorted(dropped.items()))},
            "rewrites": dict(sorted(self.rewriting.counts.items())),
            "stopped_by": self.budget.stop(),
        }

    def _read(
        self,
        asked: ChatRequest,
        note: dict[str, Any],
        known: Collection[tuple[str, int | None]],
        *,
        attempts: int = 1,
        listed_for: int | None = None,
    ) -> list[tuple[Trigger, int | None]] | None:
        """Asks, and reads the candidates with the labels that they name; None where no usable answer came."""
        outcome = self.ask(asked, attempts)
        note["question"] = fingerprint(asked)
        self.rounds.append(note)
        if not isinstance(outcome, Ok):
            note["outcome"] = "not asked" if outcome is None else outcome.name
            return None
        read = read_candidates(outcome.text, known=known, limit=self.questions.count, listed_for=listed_for)
        note.update(outcome="ok", dropped=dict(sorted(read.dropped.items())))
        return [item for item in read.proposed if self.questions.rewrites or item[0].is_insertion]

    def _recorded(self, note: dict[str, Any]) -> list[Trigger]:
        """The hypothesis behind recorded rewrites, where the recording holds no proposals of its own."""
        if not self.recorded or sum("recorded" in known.get("outcome", "") for known in self.rounds):
            return []
        note.update(outcome="recorded rewrites", kept=1)
        description = f"A rewriting whose results were recorded: {self.recorded_as}."
        return [Trigger(Kind.REWRITE, f"as recorded in {self.recorded_as}", description=description)]


def fingerprint(asked: ChatRequest) -> str:
    """Finds a question again in the transcript of its run."""
    return hashlib.sha256(asked.messages[-1].content.encode("utf-8", "replace")).hexdigest()[:16]


def with_openings(triggers: Sequence[Trigger], texts: Sequence[str]) -> list[Trigger]:
    """Free operator: words that begin several rows are also tried as an opening, wherever the model puts them."""
    result = list(triggers)
    for trigger in triggers:
        if trigger.is_insertion and trigger.position is not Position.FRONT:
            front = Trigger(trigger.kind, trigger.text, Position.FRONT, "", trigger.description, trigger.examples)
            if sum(front.carries(text) for text in texts) >= 3:
                result.append(front)
    return list(dict.fromkeys(result))
