"""LLM client: every request passes cache, budget, provider and transcript.

An answer is stored in the moment in which it arrives, before anybody else sees it, so that what was
answered is never paid twice: not after a kill, not after Ctrl-C, not for two equal requests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from openbackdoor_badllm.llm.budget import Budget
from openbackdoor_badllm.llm.cache import AnswerCache, cache_key
from openbackdoor_badllm.llm.provider import Answer, Provider
from openbackdoor_badllm.llm.transcript import Transcript
from openbackdoor_badllm.llm.types import ChatRequest, Failed, Ok, Outcome

logger = logging.getLogger(__name__)


class Client:
    """A :class:`~.types.ChatBackend` around a provider.

    Args:
        provider: what answers.
        cache: answers that were paid before.
        budget: what may be spent.
        transcript: where each answer is written down.
        max_tokens: for requests that name no number.
        temperature: for requests that name none.
    """

    def __init__(
        self,
        provider: Provider,
        cache: AnswerCache,
        budget: Budget,
        transcript: Transcript,
        *,
        max_tokens: int,
        temperature: float,
    ) -> None:
        self.budget = budget
        self._provider = provider
        self._cache = cache
        self._transcript = transcript
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._identity = provider.identity()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def complete(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """Answers all requests; same length and order. Blocks until the last one has ended.

        Equal requests are asked once. What the budget does not admit comes back as
        ``Failed("budget", ...)``, unsent; nothing raises because of a server. Calls from several
        threads are served one after the other: what one of them spends, the next must know.
        """
        with self._turn:
            return self._complete(requests)

    def describe(self) -> dict[str, Any]:
        """What answers and where it is kept, for a result file: no secrets."""
        return {
            **self._provider.describe(),
            "temperature": self._temperature,
            "max_tokens": self._max_tokens,
            "cache": str(self._cache.path) if self._cache.path else None,
            "transcript": str(self._transcript.path) if self._transcript.path else None,
        }

    def close(self) -> None:
        """Gives back connections, files and memory; may be called twice."""
        self._provider.close()
        self._cache.close()
        self._transcript.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _complete(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        filled = [self._fill(request) for request in requests]
        keys = [cache_key(request, self._identity) for request in filled]
        pending = dict(zip(keys, filled, strict=True))
        done: dict[str, Outcome] = {}
        while pending:
            # In rounds: each admits what fits even if all of it is answered at full length, so the
            # course depends on the answers alone and not on the order of their arrival.
            admitted = list(pending.items())[: self.budget.admit(list(pending.values()))]
            if not admitted:
                sentence = self.budget.stop() or "The budget of the run is used up."
                for key, request in pending.items():
                    self._record(done, key, request, Answer(Failed("budget", sentence), attempts=0))
                break
            self._round(dict(admitted), done)
            for key, _ in admitted:
                del pending[key]
        return [done[key] for key in keys]

    def _fill(self, request: ChatRequest) -> ChatRequest:
        return replace(
            request,
            max_tokens=self._max_tokens if request.max_tokens is None else request.max_tokens,
            temperature=self._temperature if request.temperature is None else request.temperature,
        )

    def _lookup(self, key: str) -> Ok | None:
        return self._cache.get(key) if self._provider.cacheable else None

    def _round(self, admitted: dict[str, ChatRequest], done: dict[str, Outcome]) -> None:
        to_ask: list[tuple[str, ChatRequest]] = []
        for key, request in admitted.items():
            hit = self._lookup(key)
            if hit is None:
                to_ask.append((key, request))
            else:
                self._record(done, key, request, Answer(hit, attempts=0), cache_hit=True)
        if not to_ask:
            return

        def on_answer(index: int, answer: Answer) -> None:
            key, request = to_ask[index]
            if isinstance(answer.outcome, Ok) and self._provider.cacheable:
                model = str(self._identity.get("model", ""))
                self._cache.put(key, answer.outcome, model=model, purpose=request.purpose)
            self._record(done, key, request, answer)

        self._provider.ask([request for _, request in to_ask], on_answer, self._halted)

    def _halted(self) -> Failed | None:
        sentence = self.budget.halt()
        return None if sentence is None else Failed("budget", f"Not sent. {sentence}")

    def _record(
        self,
        done: dict[str, Outcome],
        key: str,
        request: ChatRequest,
        answer: Answer,
        *,
        cache_hit: bool = False,
    ) -> None:
        with self._lock:
            done[key] = answer.outcome
            self.budget.record(request, answer.outcome, cached=cache_hit, attempts=answer.attempts)
            self._transcript.note(request, key, answer, cache_hit=cache_hit)
