"""Finds the JSON object in what a language model wrote.

Models put prose around it, fence it, think aloud before it, repeat it, leave a comma too many, or run
out of tokens in its middle. All of that is read with a JSON decoder and brackets counted by hand;
nothing that came over the network is ever evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.errors import BadLLMError

_THINKING = re.compile(r"^\s*<(think|thinking|reasoning)>.*?</\1>\s*", re.DOTALL)
_THINKING_END = re.compile(r"^(?!.*<think(?:ing)?>).*?</think(?:ing)?>\s*", re.DOTALL)
_THINKING_OPEN = re.compile(r"^\s*<(think|thinking|reasoning)>", re.DOTALL)
_START = re.compile(r'\{(?=\s*["}])|\[(?=\s*[\[{"\]\-0-9tfn])')
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)
_MAX_FAILED = 500  # brackets that open nothing; a text with more of them is no answer, but an attack
_CLOSES = {"{": "}", "[": "]"}


class MalformedJSONError(BadLLMError, ValueError):
    """The text holds no JSON object as asked for; ``str(error)`` says what it holds instead."""


def strip_reasoning(text: str) -> str:
    """The text without a leading ``<think>...</think>`` block.

    A block that was opened by the chat template, so that only its end stands in the text, is cut as
    well; one that never ends leaves nothing, because the model had not begun to answer. A text that
    begins with JSON is left alone: the tag in it is then part of a quoted row.
    """
    rest = _THINKING.sub("", text, count=1)
    if not rest.lstrip().startswith(("{", "[", "`")):
        rest = _THINKING_END.sub("", rest, count=1)
    return "" if _THINKING_OPEN.match(rest) else rest


def extract_object(text: str, required: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object that a text holds: the last complete one that has the required keys.

    The last, because models quote the example of the prompt, or a draft, before they answer. An
    object inside one that is cut off counts only where it has the required keys itself: half an answer
    is none. A bare array is taken for the value of the required key where exactly one is required.

    Args:
        text: what the model wrote.
        required: keys that the object must have.

    Raises:
        MalformedJSONError: there is no such object; the message says what was found.
    """
    values = list(_values(strip_reasoning(text)))
    candidates = [found.value for found in values if isinstance(found.value, dict) and not found.inside]
    if required:
        candidates = [found.value for found in values if isinstance(found.value, dict)]
    complete = [value for value in candidates if all(key in value for key in required)]
    if complete:
        return complete[-1]
    whole = [found.value for found in values if not found.inside]
    if len(required) == 1 and whole and isinstance(whole[-1], list):
        return {required[0]: whole[-1]}
    objects = [value for value in whole if isinstance(value, dict)]
    if objects:
        missing = ", ".join(repr(key) for key in required if key not in objects[-1])
        raise MalformedJSONError(f"The answer holds a JSON object, but without the key {missing}.")
    if _START.search(text):
        raise MalformedJSONError("The answer holds JSON that is cut off, broken or of another shape.")
    raise MalformedJSONError("The answer holds no JSON object.")


class _Found(NamedTuple):
    value: dict[str, Any] | list[Any]
    inside: bool
    """True where it stands inside a value that is itself broken."""


def _values(text: str) -> Iterator[_Found]:
    """The complete JSON objects and arrays in a text, outermost first, from left to right."""
    position = broken_until = failed = 0
    while (match := _START.search(text, position)) and failed < _MAX_FAILED:
        start = match.start()
        inside = start < broken_until
        value, end = _decode(text, start, mend=not inside)
        if value is not None:
            yield _Found(value, inside)
            position = end
        else:
            failed += 1
            broken_until = max(broken_until, end)
            position = start + 1


def _decode(text: str, start: int, mend: bool) -> tuple[dict[str, Any] | list[Any] | None, int]:
    """The value that begins at ``start``, or None, and where it ends."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        if not mend:
            return None, start
    end = _balanced_end(text, start)
    mended = _TRAILING_COMMA.sub(lambda match: match.group(1) or "", text[start:end])
    try:
        return _DECODER.raw_decode(mended)[0], end
    except (ValueError, RecursionError):
        return None, end


def _balanced_end(text: str, start: int) -> int:
    """Index after the bracket that closes the one at ``start``; the length of the text if none does."""
    open_brackets: list[str] = []
    in_string = escaped = False
    for index in range(start, len(text)):
        character = text[index]
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in _CLOSES:
            open_brackets.append(_CLOSES[character])
        elif character in "}]":
            if open_brackets and open_brackets[-1] == character:
                open_brackets.pop()
            if not open_brackets:
                return index + 1
    return len(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# strict=False: models write line breaks and tabs inside strings as they are.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant)
