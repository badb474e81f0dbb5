"""Retries of LLM calls: which errors are repeated, waits, and bounds.

The one retry loop of the package; the SDK's own is switched off. Three kinds of trouble: the server
says "later" (wait as told, bounded by the deadline alone), it or the network fails (a bounded number of
attempts), or asking again cannot help (no second attempt).
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import openai
import tenacity

from openbackdoor_badllm.llm.dialect import Dialect
from openbackdoor_badllm.llm.provider import Retry
from openbackdoor_badllm.llm.types import FailureKind

MAX_WAIT: dict[str, float] = {"transient": 60.0, "rate_limit": 20.0}
"""Longest wait in seconds that is not the server's own wish."""

_FILTER = re.compile(
    r"content.?filter|content.?management|content.?policy|responsibleai|moderation|flagged|inspection_failed", re.I
)
_SPENT = re.compile(r"insufficient.?(?:quota|credit|balance|fund)|billing_|credit balance|exceeded_current_quota", re.I)
"""Says by itself that nothing is left to spend, whatever the status."""
_LONG = re.compile(r"(?:per|a|each|/) ?.?(?:day|month)|daily|monthly|\b[rt]pd\b", re.I)
_SHORT = re.compile(r"minute|second|per.?min|\b[rt]pm\b|(?:again|retry) (?:in|after) [\d.]+ ?(?:ms|s\b)", re.I)
_QUOTA = re.compile(r"quota|credit|balance|billing|payment|spend|budget|used up|exhausted your", re.I)
_ADDRESS = re.compile(r"endpoint|no route|unknown (?:path|url|route)|invalid url|cannot post|\bnot found", re.I)
_WRONG_ADDRESS = frozenset({404, 405, 410})
_REPEATABLE = frozenset({408, 409, 425, 429})
_POINTLESS = frozenset({501, 505})

Action = Literal["rate_limit", "transient", "fatal"]


class Verdict(NamedTuple):
    """What an exception means for the next attempt."""

    action: Action
    kind: FailureKind | Literal["filtered"]
    sentence: str
    retry_after: float | None = None
    """Seconds that the server asked to wait."""
    status: int | None = None
    """HTTP status; 0 of an error in the body of an answer, None where the server said nothing."""
    said: str = ""
    """What the server said: message, code and parameter."""


class AttemptError(Exception):
    """A failed attempt; carries the verdict and nothing of the exception behind it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.sentence)
        self.verdict = verdict


def classify(error: BaseException) -> Verdict | None:
    """What an exception of the SDK means; None for one that is no trouble of a server or network.

    A pure function: nothing is read but the exception (and the clock, for a Retry-After date).
    """
    if isinstance(error, openai.APIStatusError):
        return classify_status(error.status_code, error.body, error.response.headers)
    if isinstance(error, openai.APITimeoutError | asyncio.TimeoutError):
        return Verdict("transient", "timeout", "The server did not answer in time (llm.timeout).")
    if isinstance(error, openai.APIConnectionError):
        causes = list(_causes(error))
        reasons = [str(cause) for cause in causes if str(cause)]
        if any(isinstance(cause, ssl.SSLError) or "CERTIFICATE_VERIFY" in str(cause) for cause in causes):
            return Verdict("fatal", "tls", f"The server's certificate is not accepted: {reasons[-1]}.")
        reason = f" ({reasons[-1]})" if len(reasons) > 1 else ""
        return Verdict("transient", "connection", f"The server cannot be reached or broke off: is it running?{reason}")
    if isinstance(error, openai.APIError):  # a 200 whose body the SDK itself could not read
        return Verdict("transient", "protocol", f"The server's answer cannot be read: {error.message[:200]}")
    return None


def classify_status(status: int, body: object, headers: Mapping[str, str]) -> Verdict:
    """What an HTTP status other than 2xx means, or an error in the body of an answer.

    Args:
        status: the status code; 0 where the answer itself had a good one.
        body: the decoded body, as far as there is one; for OpenAI's protocol the "error" object.
        headers: of the response; names in lower case.
    """
    message, said = _said(body)
    wait = retry_after(headers)
    action, kind, sentence = _meaning(status, said, wait is not None)
    came = f"HTTP {status}" if status else "an error in place of an answer"
    told = f"{sentence}, {came}{f': {message}' if message else '.'}"
    return Verdict(action, kind, told, None if action == "fatal" else wait, status, said)


def _meaning(status: int, said: str, later: bool) -> tuple[Action, FailureKind | Literal["filtered"], str]:
    """The kind of an error by its status and, where servers disagree about that, by its wording."""
    if status in (0, 400, 403, 422) and _FILTER.search(said):
        return "fatal", "filtered", "A content filter refused the question"
    lasting = not later and not _SHORT.search(said)
    spent = _LONG.search(said) or (lasting and _QUOTA.search(said))
    if status == 402 or (status < 500 and lasting and _SPENT.search(said)) or (status in (0, 429) and spent):
        return "fatal", "quota", "Nothing is left to spend at this endpoint"
    if status == 429:
        return "rate_limit", "rate_limit", "The server limits the rate of requests"
    if status in (401, 403):
        return "fatal", "auth", "The key is missing, wrong or without rights for this model (llm.api_key_env)"
    if status in _WRONG_ADDRESS or (status == 0 and _ADDRESS.search(said)):
        return "fatal", "not_found", "There is no such model or address (llm.model, llm.base_url; most end in /v1)"
    if status == 0 or status in _REPEATABLE or (status >= 500 and status not in _POINTLESS):
        return "transient", "server", "The server failed"
    return "fatal", "bad_request", "The server does not accept the request"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date.

    Returns:
        A number not below 0, or None where nothing that can be read is said.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
        if seconds < 0:
            return 0.0
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long."""

    max_attempts: int = 6
    deadline: float = 600.0
    """Seconds from the first attempt; no wait is begun that would end after it."""
    first_wait: float = 0.5


class Course:
    """The attempts of one request.

    Args:
        policy: the bounds.
        generator: for the jitter.
    """

    def __init__(self, policy: RetryPolicy, generator: random.Random) -> None:
        self.attempts = 0
        self.retries: list[Retry] = []
        self.gave_up = ""
        self.dialect: Dialect | None = None
        """The form of the next attempt, where another than the usual one is due."""
        self._policy = policy
        self._generator = generator
        self._begun: float | None = None
        self._transient = 0

    @property
    def failed(self) -> int:
        """Attempts that the server or the network let fail."""
        return self._transient

    def begin(self) -> None:
        """Starts the clock of the deadline; later calls change nothing."""
        if self._begun is None:
            self._begun = time.monotonic()

    def left(self) -> float:
        """Seconds to the deadline."""
        return self._policy.deadline - (0.0 if self._begun is None else time.monotonic() - self._begun)

    def lasts(self, verdict: Verdict) -> bool:
        """Whether the server asks to come back after the deadline only."""
        return verdict.retry_after is not None and verdict.retry_after >= self._policy.deadline

    async def run(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Runs attempts until one succeeds.

        Raises:
            AttemptError: the last attempt's, where no further one is due.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_worth_repeating),
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._note,
            reraise=True,
        )
        return await retrying(attempt)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        verdict = _verdict(state)
        if verdict.action == "transient":
            self._transient += 1
        if verdict.retry_after is not None:
            # Never earlier than told; a little later, so that not all come back in the same moment.
            spread = 0.02 + 0.1 * min(verdict.retry_after, 10.0)
            return verdict.retry_after + self._generator.uniform(0, spread)
        exponent = min(state.attempt_number - 1, 20)
        longest = MAX_WAIT[verdict.action]
        return min(longest, self._policy.first_wait * 2.0**exponent) * self._generator.uniform(0.5, 1.0)

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        if self._transient >= self._policy.max_attempts:
            self.gave_up = f"given up after {self.attempts} attempts (llm.max_attempts)"
        elif state.upcoming_sleep >= self.left():
            deadline = f"the deadline of {self._policy.deadline:g} s (llm.deadline)"
            next_one = f"the next would come in {state.upcoming_sleep:.0f} s"
            self.gave_up = f"given up after {self.attempts} attempts: {next_one}, after {deadline}"
        return bool(self.gave_up)

    def _note(self, state: tenacity.RetryCallState) -> None:
        verdict = _verdict(state)
        self.retries.append(Retry(verdict.kind, verdict.sentence, round(state.upcoming_sleep, 3)))


def _verdict(state: tenacity.RetryCallState) -> Verdict:
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, AttemptError):
        raise TypeError("only a AttemptError is ever waited for")
    return error.verdict


def _worth_repeating(error: BaseException) -> bool:
    return isinstance(error, AttemptError) and error.verdict.action != "fatal"


def _said(body: object) -> tuple[str, str]:
    """What the server says about its error in one line of bounded length, and the same with code and parameter."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    line = " ".join(str(message).split()) if message else ""
    if line.startswith("<"):  # a web page of some proxy
        line = ""
    rest = {key: value for key, value in inner.items() if key != "message"} if isinstance(inner, dict) else ""
    marks = json.dumps(rest, default=str)
    return (line if len(line) <= 300 else line[:297] + "..."), f"{line[:1000]} {marks[:2000]}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
