"""The interface of an LLM backend, which :mod:`.client` calls.

A provider only asks. Cache, budget and transcript are the :class:`~.client.Client`'s, and they work
on each answer in the moment in which it arrives, so that a killed run has lost none it had paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from openbackdoor_badllm.llm.types import ChatRequest, Outcome


class Retry(NamedTuple):
    """One attempt that failed and was followed by another."""

    kind: str
    sentence: str
    wait: float
    """Seconds slept before the next attempt."""


class Answer(NamedTuple):
    """An outcome and how it came about."""

    outcome: Outcome
    latency: float = 0.0
    """Seconds that the last attempt took."""
    attempts: int = 1
    """Requests sent, failed ones included; 0 where nothing was sent."""
    retries: tuple[Retry, ...] = ()
    reasoning: str = ""
    """What a reasoning model thought aloud, where the server shows it."""


OnAnswer = Callable[[int, Answer], None]
"""Called once a request, with its index, as soon as its answer is there; from any thread."""

Halted = Callable[[], "Outcome | None"]
"""Asked before each request is sent; an outcome means: do not send, this is the answer."""


class Provider(Protocol):
    """What answers: a network, a model on this machine, a recording."""

    cacheable: bool
    """False where asking again costs nothing."""

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
        """Asks all requests and returns when ``on_answer`` was called for each of them."""
        ...

    def identity(self) -> dict[str, Any]:
        """All that decides what would be answered, beside the request: part of the cache key."""
        ...

    def describe(self) -> dict[str, Any]:
        """The provider for a result file: no secrets."""
        ...

    def close(self) -> None:
        """Gives back what is held; may be called twice."""
        ...
