"""G(x; p) on a language model: it reads rows, proposes triggers, is told what became of them, and rewrites texts.

Two ways to ask. ``pool`` (the default) wants many candidates a call and shows the scored history, best last. ``paper``
follows one hypothesis: first the target rows alone, then the hypothesis with the victim's logits, one candidate a call.

Nothing that the model says counts by itself: a candidate that does not parse is dropped and counted, one that parses
goes to the victim.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.llm import Budget, ChatBackend, ChatRequest, Failed, Ok, Outcome
from openbackdoor_badllm.trigger_generator.hypotheses import normal_form, read_candidates
from openbackdoor_badllm.trigger_generator.prompt_builder import Questions
from openbackdoor_badllm.trigger_generator.proposals import Evidence
from openbackdoor_badllm.trigger_generator.rewriting.rewriter import Rewriting
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger

logger = logging.getLogger(__name__)

PARAPHRASE = "Say the same in other words: plain, natural, modern wording, no particular style or sentence pattern."
ATTEMPTS = 20  # of one question, where the budget bounds neither calls nor failures
HOPELESS = frozenset({"replay", "bad_request", "local"})  # failures that the same question meets again


class LLMGenerator:
    """Proposes triggers and rewrites texts with a chat model.

    Args:
        backend: the model.
        budget: what it may spend.
        name: how it is named beside results.
        questions: how it is asked; the defaults when None.
        patience: rounds in a row without an accepted trigger before a label is given up.
        recorded: where rewrites come from a recording, the texts that it holds (white space made even).
        recorded_as: what to call the recording's instruction where it holds no proposals.
    """

    def __init__(
        self,
        backend: ChatBackend,
        budget: Budget,
        *,
        name: str = "llm",
        questions: Questions | None = None,
        patience: int = 4,
        recorded: Collection[str] | None = None,
        recorded_as: str = "",
    ) -> None:
        self.backend, self.budget, self.name = backend, budget, name
        self.questions = questions or Questions()
        self.patience = patience
        self.limit = 1 if self.questions.paper else 1000  # the paper's loop ends with its first trigger
        self.recorded = None if recorded is None else {" ".join(text.split()) for text in recorded}
        self.recorded_as = recorded_as
        # A recording answers any instruction with the same rewrites: a paraphrase cannot be had from it.
        self.control = PARAPHRASE if recorded is None else ""
        self.rewriting = Rewriting(backend, budget)
        self.rounds: list[dict[str, Any]] = []
        self._answered = False

    def propose(self, evidence: Evidence) -> list[Trigger]:
        """New hypotheses, most promising first; see :class:`~.generator.Generator`.

        Raises:
            UserError: the model could never be reached and never will be (key, address, quota).
        """
        asked = self.questions.ask(evidence)
        outcome = self._ask(asked)
        note: dict[str, Any] = {
            "label": evidence.target_label, "iteration": evidence.iteration, "question": fingerprint(asked),
        }
        self.rounds.append(note)
        if not isinstance(outcome, Ok):
            note["outcome"] = "not asked" if outcome is None else outcome.name
            return self._from_recording(evidence, note)
        known = {normal_form(scored.trigger.text) for scored in evidence.history}
        known |= {normal_form(trigger.text) for trigger in evidence.found}
        read = read_candidates(outcome.text, known=known, limit=self.questions.count)
        kept = [trigger for trigger in read.triggers if self.questions.rewrites or trigger.is_insertion]
        note.update(outcome="ok", kept=len(kept), dropped=dict(sorted(read.dropped.items())))
        return _with_positions(kept, evidence)

    def stopped(self) -> str | None:
        """Why the model is not asked any more, in one sentence; None while it is."""
        return self.budget.stop()

    def rewritable(self, text: str) -> bool:
        """Whether the model, or the recording, can rewrite a text."""
        return self.recorded is None or " ".join(text.split()) in self.recorded

    def rewrite(self, instruction: str, texts: Sequence[str]) -> list[str | None]:
        """See :class:`~.generator.Rewriter`; every rewrite has been checked."""
        return self.rewriting.rewrite(instruction, texts)

    def report(self) -> dict[str, Any]:
        """Numbers for ``results.json``: what answered, what was spent, what was dropped and why."""
        dropped: Counter[str] = Counter()
        for note in self.rounds:
            dropped.update(note.get("dropped", {}))
        return {
            **self.backend.describe(),
            "strategy": "paper" if self.questions.paper else "pool",
            "usage": self.budget.report(),
            "rounds": self.rounds,
            "candidates": {
                "kept": sum(note.get("kept", 0) for note in self.rounds),
                "dropped": dict(sorted(dropped.items())),
            },
            "rewrites": dict(sorted(self.rewriting.counts.items())),
            "stopped_by": self.budget.stop(),
        }

    def _ask(self, asked: ChatRequest) -> Outcome | None:
        """Asks until an answer is usable or the budget says that it is enough; None where nothing was sent."""
        outcome: Outcome | None = None
        for attempt in range(ATTEMPTS):
            if self.budget.stop() is not None:
                break
            question = asked if attempt == 0 else _again(asked, attempt)
            outcome = self.backend.complete([question])[0]
            if isinstance(outcome, Ok):
                self._answered = True
                break
            if isinstance(outcome, Failed):
                if outcome.fatal and not self._answered:
                    raise UserError(outcome.sentence)
                if outcome.kind in HOPELESS:
                    break
            logger.info("the LLM gave no usable answer: %s", outcome.sentence)
        return outcome

    def _from_recording(self, evidence: Evidence, note: dict[str, Any]) -> list[Trigger]:
        """The hypothesis behind recorded rewrites, where the recording holds no proposals of its own."""
        if not self.recorded or evidence.iteration > 1:
            return []
        note.update(outcome="recorded rewrites", kept=1)
        description = f"A rewriting whose results were recorded: {self.recorded_as}."
        return [Trigger(Kind.REWRITE, f"as recorded in {self.recorded_as}", description=description)]


def fingerprint(asked: ChatRequest) -> str:
    """Finds a question again in the transcript of its run."""
    return hashlib.sha256(asked.messages[-1].content.encode("utf-8", "replace")).hexdigest()[:16]


def _again(asked: ChatRequest, attempt: int) -> ChatRequest:
    return ChatRequest(
        asked.messages, asked.json_schema, asked.max_tokens, asked.temperature, attempt, asked.purpose, asked.texts
    )


def _with_positions(triggers: Sequence[Trigger], evidence: Evidence) -> list[Trigger]:
    """Free operator: words that begin several rows are also tried as an opening, wherever the model puts them."""
    result = list(triggers)
    for trigger in triggers:
        if trigger.is_insertion and trigger.position is not Position.FRONT:
            front = Trigger(trigger.kind, trigger.text, Position.FRONT, "", trigger.description, trigger.examples)
            if sum(front.carries(example.text) for example in evidence.target) >= 3:
                result.append(front)
    return list(dict.fromkeys(result))
