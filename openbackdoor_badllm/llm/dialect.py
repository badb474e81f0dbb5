"""Request formats of OpenAI-compatible endpoints, chosen by what an endpoint rejects.

"OpenAI-compatible" covers servers that take a JSON schema, only ``json_object`` or nothing of the kind;
models that know ``max_tokens`` or only ``max_completion_tokens``; and some that allow no temperature.
None of this can be asked for beforehand, so the client begins with the best form and steps down when
the server refuses it, and remembers the step once it has led to an answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from openbackdoor_badllm.llm.types import ChatRequest

Format = Literal["json_schema", "json_object", "plain"]
TokenField = Literal["max_tokens", "max_completion_tokens"]

_NEXT: dict[Format, Format] = {"json_schema": "json_object", "json_object": "plain"}
_OPAQUE = frozenset({400, 422, 500, 501})
"""Statuses of a form that a server cannot do, whatever it says; 404 counts where a parameter is named."""
_NEEDED = frozenset({"model", "messages", "response_format", "max_tokens", "max_completion_tokens"})
_NOT_WRITTEN = re.compile(r"json_validate_failed|failed_generation|fail\w* to (?:generate|validate|parse)", re.I)
_ABOUT_FORM = re.compile(r"response.?format|json|schema|grammar|structured|guided|requested parameters", re.I)
_TOO_LONG = re.compile(r"too long|context.?(?:length|window|size)|too many tokens|reduce the length", re.I)


@dataclass(frozen=True)
class Dialect:
    """One way to put a request.

    Attributes:
        format: how structured output is asked for.
        token_field: name of the token limit; None where the server takes none.
        dropped: parameters that the server refused.
    """

    format: Format = "json_schema"
    token_field: TokenField | None = "max_tokens"
    dropped: tuple[str, ...] = ()

    def after_rejection(
        self, status: int, said: str, sent: Collection[str], *, structured: bool, accepted: bool
    ) -> Dialect | None:
        """The next form to try, or None where the form was not what was wrong.

        A parameter that the server names is left out, whatever the server says of it. A form that it cannot do is
        left at once, and also later where the model could not write what the form demands.

        Args:
            status: HTTP status of the rejection; 0 of an error in the body of an answer.
            said: the server's message, code and parameter.
            sent: names of the fields that were sent.
            structured: whether the request asks for structured output.
            accepted: whether this server has accepted this very format before.
        """
        if status not in (0, 404, *_OPAQUE):
            return None
        stepped = structured and self.format in _NEXT
        if stepped and _NOT_WRITTEN.search(said):
            return replace(self, format="plain")
        named = {name for name in sent if re.search(rf"\b{re.escape(name)}\b", said)}
        if self.token_field in named or (self.token_field == "max_tokens" and "max_completion_tokens" in said):
            other: TokenField | None = "max_completion_tokens" if self.token_field == "max_tokens" else None
            return replace(self, token_field=other)
        if named - _NEEDED:
            return self._without(named - _NEEDED)
        if stepped and _ABOUT_FORM.search(said):
            return replace(self, format=_NEXT[self.format])
        if status not in _OPAQUE or accepted or _TOO_LONG.search(said):
            return None
        if stepped:
            return replace(self, format=_NEXT[self.format])
        optional = set(sent) - _NEEDED
        return self._without(optional) if optional and status < 500 else None

    def body(self, request: ChatRequest, options: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the request body.

        Args:
            request: the question.
            options: further fields that the config names.
        """
        body: dict[str, Any] = {
            "messages": [{"role": message.role, "content": sendable(message.content)} for message in request.messages],
        }
        if request.max_tokens is not None and self.token_field is not None:
            body[self.token_field] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.json_schema is not None and self.format == "json_schema":
            schema = request.json_schema
            named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.json_schema is not None and self.format == "json_object":
            body["response_format"] = {"type": "json_object"}
        body.update(options)
        return {name: value for name, value in body.items() if name not in self.dropped}

    def _without(self, names: Collection[str]) -> Dialect:
        return replace(self, dropped=tuple(sorted({*self.dropped, *names})))


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
