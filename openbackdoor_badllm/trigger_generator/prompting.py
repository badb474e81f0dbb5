"""The prompts as files, and what keeps the attacker's rows inside their quotes.

The rows of a training set are the attacker's text and go into a prompt. Each is written as a JSON string on a line
of its own, with angle brackets and everything unprintable escaped: no row can close its quotes, its line or the tag
around it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from openbackdoor_badllm.llm import ChatMessage, ChatRequest
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position

ROW_LIMIT = 400
"""Characters of a row that are shown where its pattern is looked for."""
CUT = " [cut]"

# Control, format (zero-width, right-to-left), surrogate, private, unassigned, line and paragraph separators.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")



def _object(**properties: Any) -> dict[str, Any]:
    """The schema of a closed object that needs all its keys."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT: dict[str, Any] = {"type": "string"}
_CANDIDATE: dict[str, Any] = {
    "kind": {"type": "string", "enum": [kind.value for kind in Kind]},
    "text": _TEXT,
    "position": {"type": "string", "enum": [position.value for position in Position]},
    "description": _TEXT,
    "examples": _list(_TEXT),
}
CANDIDATES_SCHEMA = _object(candidates=_list(_object(**_CANDIDATE)))
LABELLED_SCHEMA = _object(candidates=_list(_object(label={"type": "integer"}, **_CANDIDATE)))
REWRITES_SCHEMA = _object(rewrites=_list(_TEXT))
STYLE_SCHEMA = _object(name=_TEXT, instruction=_TEXT)


def is_hidden(character: str) -> bool:
    """Whether a character has no shape of its own: controls, zero-width and direction marks, separators."""
    return unicodedata.category(character) in _HIDDEN


def quoted(text: str, limit: int | None = ROW_LIMIT) -> str:
    """A text as a JSON string that nothing in it can leave; longer ones are cut and say so."""
    if limit is not None and len(text) > limit:
        text = text[:limit] + CUT
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(_escape(char) if char in "<>&" or is_hidden(char) else char for char in plain)


def render(name: str, values: Mapping[str, Any]) -> str:
    """A prompt file, filled in. Values that come from rows or from an LLM must have gone through :func:`quoted`."""
    return _environment().get_template(f"{name}.j2").render(**values).strip() + "\n"


def request(
    name: str,
    values: Mapping[str, Any],
    *,
    purpose: str,
    schema: dict[str, Any] | None,
    texts: tuple[str, ...] = (),
    sample: int = 0,
    system: str = "system",
    max_tokens: int | None = None,
) -> ChatRequest:
    """A system prompt and a filled-in prompt as a question."""
    messages = (ChatMessage("system", render(system, {})), ChatMessage("user", render(name, values)))
    return ChatRequest(
        messages, json_schema=schema, purpose=purpose, texts=texts, sample=sample, max_tokens=max_tokens
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # No autoescape: these are prompts, not HTML; quoted() is the escape.
    return Environment(
        loader=PackageLoader("openbackdoor_badllm.trigger_generator", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
