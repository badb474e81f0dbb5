"""Requests to a language model and the typed outcomes of a call.

Every way in which a chat call can end has a type of its own, so that no caller can take half an
answer for a whole one: it must say which outcome it is ready for. Only :class:`Ok` is a full answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, get_args

Role = Literal["system", "user", "assistant"]

FailureKind = Literal[
    "auth",  # 401, 403: the key is missing, wrong or without rights
    "not_found",  # 404, a web page or a foreign error instead of an API: model or base_url is wrong
    "bad_request",  # 400, 422: this one request is not acceptable
    "quota",  # nothing is left to spend, or the limit lasts beyond the deadline
    "rate_limit",  # 429 until the deadline
    "server",  # 5xx on every attempt
    "connection",  # refused, reset, cut in mid-body
    "tls",  # the server's certificate is not trusted
    "timeout",  # no whole answer within the time of one attempt
    "protocol",  # an answer that is not a chat completion
    "budget",  # not sent: a bound of the run is reached
    "replay",  # the recording holds no answer to this request
    "local",  # the local model cannot do it: memory, context length
]

FATAL_KINDS: frozenset[str] = frozenset({"auth", "not_found", "quota", "tls"})
"""Failures that the next request would meet as well: a run stops at the first one."""
REPEATED_KINDS: frozenset[str] = frozenset({"rate_limit", "server", "connection", "timeout"})
"""Failures of a request that was repeated already: a run stops at the first one before any answer, at the second in a
row after it."""


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One question to a language model.

    ``purpose``, ``texts`` and ``counts`` are not sent: the first is a tag for the transcript ("propose",
    "rewrite"), the second names the rows to be rewritten beside the rendered prompt, so that the
    replay backend can look each one up.
    """

    messages: tuple[ChatMessage, ...]
    """The conversation, oldest turn first; at least one."""
    json_schema: dict[str, Any] | None = field(default=None, hash=False)
    """JSON schema of the object that is wanted; None asks for plain text."""
    max_tokens: int | None = None
    """Most tokens the answer may have; None takes the configured number."""
    temperature: float | None = None
    """Sampling temperature, 0 for greedy; None takes the configured one."""
    sample: int = 0
    """Which of several answers to the same question this is: 0, 1, ... Part of the cache key."""
    purpose: str = ""
    """What the call is for, in one word."""
    texts: tuple[str, ...] = ()
    """The texts to be rewritten, where the request is for rewrites; in the order of the answer."""
    counts: bool = True
    """Whether an answer that cannot be used counts toward the failures in a row that end a run."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a ChatRequest needs at least one message")


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, or of many added up."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    """True where the server did not say and the numbers come from the length of the texts."""

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True)
class Ok:
    """A full answer; where a schema was given, the text holds an object with its required keys."""

    name: ClassVar[str] = "ok"
    text: str
    usage: Usage = Usage()


@dataclass(frozen=True)
class Truncated:
    """The answer hit the token limit; ``text`` is what came, and never to be used as the whole."""

    name: ClassVar[str] = "truncated"
    text: str
    usage: Usage = Usage()
    sentence: str = "The answer was cut off at the token limit (max_tokens)."


@dataclass(frozen=True)
class Filtered:
    """A content filter stopped the question or the answer."""

    name: ClassVar[str] = "filtered"
    sentence: str
    usage: Usage = Usage()


@dataclass(frozen=True)
class Refused:
    """The model would not answer."""

    name: ClassVar[str] = "refused"
    sentence: str
    usage: Usage = Usage()


@dataclass(frozen=True)
class Empty:
    """The call ended well and brought no text."""

    name: ClassVar[str] = "empty"
    usage: Usage = Usage()
    sentence: str = "The model answered with no text."


@dataclass(frozen=True)
class Malformed:
    """Text came, but not the JSON that was asked for."""

    name: ClassVar[str] = "malformed"
    text: str
    usage: Usage = Usage()
    sentence: str = "The answer holds no JSON object as asked for."


@dataclass(frozen=True)
class Failed:
    """No answer at all; ``sentence`` says why and what to do."""

    name: ClassVar[str] = "failed"
    kind: FailureKind
    sentence: str

    @property
    def fatal(self) -> bool:
        """True where the next request would fail the same way."""
        return self.kind in FATAL_KINDS


Outcome = Ok | Truncated | Filtered | Refused | Empty | Malformed | Failed

OUTCOMES: dict[str, type[Outcome]] = {kind.name: kind for kind in get_args(Outcome)}


def usage_of(outcome: Outcome) -> Usage:
    """Tokens that an outcome cost; none for a failure."""
    return Usage() if isinstance(outcome, Failed) else outcome.usage


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a JSON object; its type stands under "outcome"."""
    return {"outcome": outcome.name, **asdict(outcome)}


def outcome_from_json(data: dict[str, Any]) -> Outcome:
    """The inverse of :func:`outcome_to_json`.

    Raises:
        ValueError: the object is not one that :func:`outcome_to_json` writes.
    """
    fields = dict(data)
    try:
        kind = OUTCOMES[fields.pop("outcome")]
        if "usage" in fields:
            fields["usage"] = Usage(**fields["usage"])
        return kind(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a recorded outcome: {error!r}") from None


class ChatBackend(Protocol):
    """The one door to a language model, whichever it is."""

    def complete(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """Answers all requests; same length and order. Blocks until the last one has ended."""
        ...

    def describe(self) -> dict[str, Any]:
        """What answers, for a result file: no secrets."""
        ...

    def close(self) -> None:
        """Gives back connections, files and memory; may be called twice."""
        ...

    def __enter__(self) -> ChatBackend: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
