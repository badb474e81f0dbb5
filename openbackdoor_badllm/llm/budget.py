"""Budget of LLM calls: the bounds of a run, what it has used, and why it stops.

A bound counts what the run asked for, whether the cache answered or the network: a run that is killed
and begun again, or repeated with a full cache, takes the same course and ends at the same point. What
was really paid stands beside it in the report.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.llm.types import REPEATED_KINDS, ChatRequest, Failed, Ok, Outcome, Usage, usage_of

_BYTES_A_TOKEN = 3.0
"""Cautious for English (about 4); replaced by what the server reports."""
_FRAME_TOKENS = 32
"""For the chat template around the messages."""
_LONG_ENOUGH = 400
"""Bytes of a prompt from which on its tokens say something about the tokenizer, not the template."""


@dataclass(frozen=True)
class Limits:
    """The bounds of a run, as :class:`~.config.LLMConfig` has them; None is no bound."""

    max_calls: int | None = None
    max_tokens_total: int | None = None
    max_money: float | None = None
    max_seconds: float | None = None
    max_failures: int | None = None
    price_prompt: float | None = None
    price_completion: float | None = None

    def money(self, usage: Usage) -> float | None:
        """What the tokens cost, or None where a price is unknown."""
        if self.price_prompt is None or self.price_completion is None:
            return None
        prompt = usage.prompt_tokens * self.price_prompt
        return (prompt + usage.completion_tokens * self.price_completion) / 1e6


class Budget:
    """Counts a run and stops it.

    Args:
        limits: the bounds.
        clock: seconds, ever growing; the run begins with the first request.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._begun: float | None = None
        self._lock = threading.Lock()
        self._asked = 0
        self._used = Usage()
        self._paid = Usage()
        self._cache_hits = 0
        self._unsent = 0
        self._attempts = 0
        self._outcomes: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._useless_in_a_row = self._down_in_a_row = 0
        self._last_trouble = ""
        self._tokens_a_byte = 0.0
        self._refused: str | None = None
        self._fatal: str | None = None

    @classmethod
    def from_config(cls, config: LLMConfig) -> Budget:
        """The budget that a config describes."""
        return cls(Limits(**{bound.name: getattr(config, bound.name) for bound in fields(Limits)}))

    def stop(self) -> str | None:
        """Why the run must end, in one sentence; None while it may go on."""
        with self._lock:
            return self._stop_sentence()

    def halt(self) -> str | None:
        """Why nothing more may be sent, even of what was admitted: time, failures, a fatal error."""
        with self._lock:
            return self._halt_sentence()

    def admit(self, requests: Sequence[ChatRequest]) -> int:
        """How many of the requests, from the first on, may be sent together.

        A request is admitted only where all bounds hold even if it and those before it are answered
        at full length. Where not even the first one is, :meth:`stop` says why from then on.
        """
        with self._lock:
            if self._begun is None:
                self._begun = self._clock()
            if self._stop_sentence() is not None:
                return 0
            expected = self._used
            for admitted, request in enumerate(requests):
                worst = self._worst(request)
                over = self._over(self._asked + admitted + 1, expected + worst)
                if over is not None:
                    if admitted == 0:
                        more = f"for one more call of up to {worst.total:,} tokens"
                        self._refused = f"The run stops at its bound: {over} {more}."
                    return admitted
                expected += worst
            return len(requests)

    def record(self, request: ChatRequest, outcome: Outcome, *, cached: bool, attempts: int = 1) -> None:
        """Counts one outcome; what was never sent is counted as such and uses nothing up."""
        usage = usage_of(outcome)
        with self._lock:
            if isinstance(outcome, Failed) and outcome.kind == "budget":
                self._unsent += 1
                return
            self._asked += 1
            self._used += usage
            self._outcomes[outcome.name] += 1
            if cached:
                self._cache_hits += 1
            else:
                self._paid += usage
                self._attempts += attempts
            if isinstance(outcome, Ok):
                self._useless_in_a_row = 0
            else:
                self._useless_in_a_row += request.counts
                self._last_trouble = outcome.sentence
            down = isinstance(outcome, Failed) and outcome.kind in REPEATED_KINDS
            self._down_in_a_row = self._down_in_a_row + 1 if down else 0
            if isinstance(outcome, Failed):
                self._failures[outcome.kind] += 1
                over = self._down_in_a_row >= (2 if self._outcomes["ok"] else 1)
                if (outcome.fatal or over) and self._fatal is None:
                    self._fatal = outcome.sentence
            elif not usage.estimated and _bytes(request) >= _LONG_ENOUGH:
                spread = (usage.prompt_tokens - _FRAME_TOKENS) / _bytes(request)
                self._tokens_a_byte = max(self._tokens_a_byte, spread)

    def seconds(self) -> float:
        """Seconds since the first request."""
        return 0.0 if self._begun is None else self._clock() - self._begun

    def worst(self, request: ChatRequest) -> Usage:
        """Tokens of a request that is answered at full length."""
        with self._lock:
            return self._worst(request)

    def affords(self, requests: Sequence[ChatRequest], part: float) -> bool:
        """Whether requests fit into a part of each bound on calls, tokens and money, even answered at full length."""
        limits, calls, usage = self.limits, len(requests), Usage()
        for request in requests:
            usage += self.worst(request)
        bounds = (limits.max_calls, limits.max_tokens_total, limits.max_money)
        spent = zip((calls, usage.total, limits.money(usage)), bounds, strict=True)
        return all(used is None or bound is None or used <= part * bound for used, bound in spent)

    def report(self) -> dict[str, Any]:
        """The numbers of the run for a result file.

        ``asked`` counts what the bounds count; ``calls`` what went to the model; ``unsent`` what a bound
        kept back; ``attempts`` includes repeated ones. Tokens are of everything asked, ``paid_tokens``
        of what the cache did not answer.
        ``money`` is what was paid; null where no price is given. ``trouble`` is what the last call without a usable
        answer met.
        """
        with self._lock:
            return {
                "asked": self._asked,
                "calls": self._asked - self._cache_hits,
                "cache_hits": self._cache_hits,
                "unsent": self._unsent,
                "attempts": self._attempts,
                "prompt_tokens": self._used.prompt_tokens,
                "completion_tokens": self._used.completion_tokens,
                "paid_tokens": self._paid.total,
                "tokens_estimated": self._used.estimated,
                "outcomes": dict(sorted(self._outcomes.items())),
                "failures": dict(sorted(self._failures.items())),
                "money": self.limits.money(self._paid),
                "seconds": round(self.seconds(), 3),
                "stopped_by": self._stop_sentence(),
                "trouble": self._last_trouble,
            }

    def _worst(self, request: ChatRequest) -> Usage:
        rate = self._tokens_a_byte or 1 / _BYTES_A_TOKEN
        prompt = _FRAME_TOKENS + round(_bytes(request) * rate)
        return Usage(prompt, request.max_tokens or 0, estimated=True)

    def _over(self, calls: int, usage: Usage) -> str | None:
        """Which bound so many calls and tokens would break."""
        limits = self.limits
        if limits.max_calls is not None and calls > limits.max_calls:
            return f"{self._asked:,} of {limits.max_calls:,} calls (llm.max_calls) are used up"
        if limits.max_tokens_total is not None and usage.total > limits.max_tokens_total:
            limit = limits.max_tokens_total
            return f"{self._used.total:,} of {limit:,} tokens (llm.max_tokens_total) are used, too many"
        money = limits.money(usage)
        if limits.max_money is not None and money is not None and money > limits.max_money:
            spent = limits.money(self._used)
            return f"{spent:.4f} of {limits.max_money:.4f} in money (llm.max_money) is spent, too much"
        return None

    def _stop_sentence(self) -> str | None:
        limits = self.limits
        if self._refused is not None:
            return self._refused
        if limits.max_calls is not None and self._asked >= limits.max_calls:
            return f"The run stops at its bound: all {limits.max_calls:,} calls (llm.max_calls) are made."
        if limits.max_tokens_total is not None and self._used.total >= limits.max_tokens_total:
            limit = limits.max_tokens_total
            return f"The run stops at its bound: all {limit:,} tokens (llm.max_tokens_total) are used."
        return self._halt_sentence()

    def _halt_sentence(self) -> str | None:
        limits = self.limits
        if self._fatal is not None:
            return self._fatal
        if limits.max_seconds is not None and self.seconds() >= limits.max_seconds:
            return f"The run stops at its bound: {limits.max_seconds:g} seconds (llm.max_seconds) are over."
        if limits.max_failures is not None and self._useless_in_a_row >= limits.max_failures:
            return (
                f"The run stops: {self._useless_in_a_row} calls in a row brought no usable answer "
                f"(llm.max_failures); the last one: {self._last_trouble}"
            )
        return None


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, from its length in UTF-8; on the high side for English."""
    return round(len(text.encode("utf-8", "replace")) / _BYTES_A_TOKEN)


def _bytes(request: ChatRequest) -> int:
    # Some servers put the schema into the prompt.
    schema = len(str(request.json_schema)) if request.json_schema else 0
    return schema + sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
