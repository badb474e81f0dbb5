"""Request formats of OpenAI-compatible endpoints, chosen by what an endpoint rejects.

"OpenAI-compatible" covers servers that take a JSON schema, only ``json_object`` or nothing of the kind;
models that know ``max_tokens`` or only ``max_completion_tokens``; and some that allow no temperature.
None of this can be asked for beforehand, so the client begins with the best form and steps down when
the server answers 400, and remembers the step once it has led to an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from openbackdoor_badllm.llm.types import ChatRequest

Format = Literal["json_schema", "json_object", "plain"]

_NEXT: dict[Format, Format] = {"json_schema": "json_object", "json_object": "plain"}
_REJECTIONS = frozenset({400, 422})


@dataclass(frozen=True)
class Dialect:
    """One way to put a request."""

    format: Format = "json_schema"
    token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True

    def after_rejection(self, status: int, said: str, *, structured: bool, accepted: bool) -> Dialect | None:
        """The next form to try, or None where the form was not what was wrong.

        Args:
            status: HTTP status of the rejection.
            said: the server's message.
            structured: whether the request asks for structured output.
            accepted: whether this server has accepted this very format before.
        """
        if status not in _REJECTIONS:
            return None
        if self.token_field == "max_tokens" and "max_completion_tokens" in said:
            return replace(self, token_field="max_completion_tokens")
        unsupported = "unsupported" in said.lower() or "not support" in said
        if self.temperature and unsupported and "temperature" in said:
            return replace(self, temperature=False)
        if structured and not accepted and self.format in _NEXT:
            return replace(self, format=_NEXT[self.format])
        return None

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The fields of the request body that a request decides."""
        body: dict[str, Any] = {
            "messages": [{"role": message.role, "content": sendable(message.content)} for message in request.messages],
        }
        if request.max_tokens is not None:
            body[self.token_field] = request.max_tokens
        if self.temperature and request.temperature is not None:
            body["temperature"] = request.temperature
        if request.json_schema is not None and self.format == "json_schema":
            schema = request.json_schema
            named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.json_schema is not None and self.format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body


def sendable(text: str) -> str:
    """The text with lone surrogates replaced: rows may hold them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_strict(schema: object) -> bool:
    """True where a schema fits OpenAI's strict mode: every object is closed and needs all its keys."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    return all(map(is_strict, schema.values()))
