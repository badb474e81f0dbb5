"""Transcript of LLM calls: one JSON line for each answer, written at once."""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from openbackdoor_badllm.llm.provider import Answer
from openbackdoor_badllm.llm.redact import Redactor
from openbackdoor_badllm.llm.types import ChatRequest, outcome_to_json

logger = logging.getLogger(__name__)


class Transcript:
    """Appends to a JSONL file; a run that goes on after a kill adds to what is there.

    A line holds ``time``, ``model``, ``purpose``, ``key`` (of the cache), ``request``, ``answer``
    (the outcome with its usage), ``reasoning``, ``latency`` in seconds, ``attempts``, ``retries`` and
    ``cache_hit``. All is ASCII: control characters and right-to-left marks stand escaped.

    Args:
        path: the file, made with mode 0600; None writes nothing.
        redactor: cuts secrets from every string.
        model: name of the model for each line.
    """

    def __init__(self, path: Path | None, redactor: Redactor, model: str = "") -> None:
        self.path = path
        self._redactor = redactor
        self._model = model
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _ends_torn(path)
            self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            if torn:
                self._write("\n")
        except OSError as error:
            self._give_up(error)

    def note(self, request: ChatRequest, key: str, answer: Answer, *, cache_hit: bool) -> None:
        """Writes one line and flushes it."""
        if self._descriptor is None:
            return
        line: dict[str, Any] = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "model": self._model,
            "purpose": request.purpose,
            "key": key,
            "request": request_to_json(request),
            "answer": outcome_to_json(answer.outcome),
            "reasoning": answer.reasoning,
            "latency": round(answer.latency, 4),
            "attempts": answer.attempts,
            "retries": [retry._asdict() for retry in answer.retries],
            "cache_hit": cache_hit,
        }
        text = json.dumps(self._redactor.tree(line))
        with self._lock:
            self._write(text + "\n")

    def close(self) -> None:
        """Closes the file; may be called twice."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def _write(self, text: str) -> None:
        rest = text.encode("ascii")
        try:
            while rest and self._descriptor is not None:
                # One write a line, so that the lines of two processes do not mix.
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        logger.warning("The transcript %s cannot be written (%s); the run goes on without it.", self.path, reason)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def request_to_json(request: ChatRequest) -> dict[str, Any]:
    """A request as JSON values."""
    return {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "json_schema": request.json_schema,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "sample": request.sample,
        "texts": list(request.texts),
    }


def _ends_torn(path: Path) -> bool:
    """True where a kill left half a line at the end."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
