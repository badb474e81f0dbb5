"""LLM backend that answers from recordings, for tests and for repeating a run.

A recording is a file of JSON lines, of either of two kinds, also mixed:

- a transcript of an earlier run: the same messages and sample index get the same outcome;
- a rewrite, ``{"text": ..., "rewrite": ...}``: a request that carries ``texts`` gets, for each of
  them, what a language model once made of it, as ``{"rewrites": [...]}``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.budget import estimate_tokens
from openbackdoor_badllm.llm.provider import Answer, Halted, OnAnswer
from openbackdoor_badllm.llm.types import (
    ChatMessage,
    ChatRequest,
    Failed,
    Ok,
    Outcome,
    Usage,
    outcome_from_json,
)

logger = logging.getLogger(__name__)


class ReplayProvider:
    """Answers from recordings.

    Args:
        paths: the files, read at once.

    Raises:
        ConfigError: a file is missing, or no line of it is a recording.
    """

    cacheable = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._outcomes: dict[str, Outcome] = {}
        self._rewrites: defaultdict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            self._read(path)

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
        """See :class:`~.provider.Provider`; answers in order."""
        for index, request in enumerate(requests):
            on_answer(index, Answer(halted() or self._answer(request)))

    def identity(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`."""
        return {"backend": "replay", "model": "replay", "replay": [str(path) for path in self._paths]}

    def describe(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`; with the number of answers of each kind."""
        return {
            **self.identity(),
            "recorded": {
                "outcomes": len(self._outcomes),
                "rewrites": sum(map(len, self._rewrites.values())),
            },
        }

    def close(self) -> None:
        """Holds nothing to give back."""

    def _answer(self, request: ChatRequest) -> Outcome:
        recorded = self._outcomes.get(_replay_key(request.messages, request.sample))
        if recorded is not None:
            return recorded
        if request.texts and self._rewrites:
            return self._rewrite(request)
        return self._missing(f"the request {_which(request)}")

    def _rewrite(self, request: ChatRequest) -> Outcome:
        rewrites = []
        for text in request.texts:
            found = self._rewrites.get(_normal(text))
            if not found:
                return self._missing(f"the text {_quoted(text)}")
            rewrites.append(found[request.sample % len(found)])
        return _ok(request, json.dumps({"rewrites": rewrites}, ensure_ascii=False))

    def _missing(self, what: str) -> Failed:
        files = ", ".join(map(str, self._paths))
        return Failed("replay", f"The recording ({files}) holds no answer to {what}.")

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"llm.replay: the recording {path} cannot be read ({error}).") from None
        used = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                self._keep(json.loads(line))
                used += 1
            except (ValueError, KeyError, TypeError, AttributeError):
                # The last line of a killed run may be torn; any other is worth a word as well.
                logger.warning("%s, line %d is not a recording and is passed over.", path, number)
        if not used:
            raise ConfigError(
                f"llm.replay: no line of {path} is a recording: expected a transcript, or JSON lines with "
                "'text' and 'rewrite'."
            )

    def _keep(self, line: dict[str, Any]) -> None:
        if "rewrite" in line:
            text, rewrite = line["text"], line["rewrite"]
            if not isinstance(text, str) or not isinstance(rewrite, str):
                raise TypeError("text and rewrite must be strings")
            self._rewrites[_normal(text)].append(rewrite)
        else:
            asked = line["request"]
            messages = tuple(ChatMessage(turn["role"], turn["content"]) for turn in asked["messages"])
            key = _replay_key(messages, int(asked["sample"]))
            outcome = outcome_from_json(line["answer"])
            # A failure that a later line mends was a resumed run: the answer that came counts.
            if isinstance(outcome, Ok) or not isinstance(self._outcomes.get(key), Ok):
                self._outcomes[key] = outcome


def _replay_key(messages: Sequence[ChatMessage], sample: int) -> str:
    question = [sample, *([message.role, message.content] for message in messages)]
    return hashlib.sha256(json.dumps(question).encode("ascii")).hexdigest()


def _normal(text: str) -> str:
    return " ".join(text.split())


def _ok(request: ChatRequest, text: str) -> Ok:
    prompt = sum(estimate_tokens(message.content) for message in request.messages)
    return Ok(text, Usage(prompt, estimate_tokens(text), estimated=True))


def _which(request: ChatRequest) -> str:
    purpose = f"for {request.purpose!r} " if request.purpose else ""
    return f"{purpose}(sample {request.sample}) that ends in {_quoted(request.messages[-1].content[-80:])}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
