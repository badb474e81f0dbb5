"""From the body of a chat completion to a typed outcome.

Servers disagree about nearly every field, so the body is read as plain JSON and nothing in it is
trusted to have the type that the protocol gives it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.errors import BadLLMError
from openbackdoor_badllm.llm.budget import estimate_tokens
from openbackdoor_badllm.llm.parsing import MalformedJSONError, extract_object, strip_reasoning
from openbackdoor_badllm.llm.retry import AttemptError, Verdict, classify_status
from openbackdoor_badllm.llm.types import (
    ChatRequest,
    Empty,
    Filtered,
    Malformed,
    Ok,
    Outcome,
    Refused,
    Truncated,
    Usage,
)

_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]?m|i am)\s+(?:very\s+|really\s+)?(?:sorry|unable|not able)|sorry[,.]"
    r"|(?:i\s+)?apologi[sz]e|i\s+(?:can(?:['’]?t|not)|won['’]?t|will not|must decline|have to decline)"
    r"|as an ai\b|unfortunately,? i\b|i do(?: not|n['’]t) feel comfortable)",
    re.IGNORECASE,
)
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
_FILTERED = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist"})


class NotACompletionError(BadLLMError):
    """The body is not a chat completion; ``str(error)`` says what is wrong with it."""


@dataclass(frozen=True)
class Completion:
    """One answer as the model gave it."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    refusal: str = ""
    usage: Usage | None = None
    """None where the server did not say."""


def read_body(text: str) -> Completion:
    """The answer in the body of a 200, also of a server that streams although it was not asked to.

    Raises:
        AttemptError: there is none in it; an error in it is judged as one.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = _streamed(text)
    if body is None:
        if text.lstrip().startswith("<"):
            sentence = "The address answers with a web page and not as an API: does llm.base_url end in /v1?"
            raise AttemptError(Verdict("fatal", "not_found", sentence, status=0)) from None
        raise AttemptError(Verdict("transient", "protocol", "The answer is not JSON or was cut off.", status=0))
    error = _error_in(body)
    if error is not None:
        raise AttemptError(classify_status(_status_of(error), error, {}))
    try:
        return read_completion(body)
    except NotACompletionError as problem:
        # It was answered, hence paid: asking again would pay again for the same.
        sentence = f"The answer is not a chat completion: {problem}."
        raise AttemptError(Verdict("fatal", "protocol", sentence, status=0)) from None


def _error_in(body: Any) -> Any:
    """The error in a body that holds no answer; None where it holds one, or something else."""
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    if choices:
        first = choices[0] if isinstance(choices, list) else None
        return first.get("error") if isinstance(first, dict) else None
    named = next((body[key] for key in ("error", "errors", "detail") if body.get(key)), None)
    return body if named is None and isinstance(body.get("message"), str) else named


def _status_of(error: Any) -> int:
    """The HTTP status that an error names as its code; 0 where it names none."""
    code = error.get("code") or error.get("status") if isinstance(error, dict) else None
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 0
    return number if 400 <= number < 600 else 0


def _streamed(text: str) -> dict[str, Any] | None:
    """The chunks of a stream put together as one answer; None where it is no stream, or one that was cut off."""
    choice: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    parts: dict[str, str] = {}
    over = False
    for line in text.splitlines():
        data = line.strip().removeprefix("data:").strip()
        if data == "[DONE]":
            over = True
        try:
            chunk = json.loads(data)
        except ValueError:
            continue  # names of events, remarks, blank lines
        if not isinstance(chunk, dict):
            continue
        if _error_in(chunk) is not None:
            return chunk
        whole["usage"] = chunk.get("usage") or whole.get("usage")
        first = (chunk.get("choices") or [{}])[0]
        if isinstance(first, dict):
            choice["finish_reason"] = first.get("finish_reason") or choice.get("finish_reason")
            for key, value in (first.get("delta") or first.get("message") or {}).items():
                if isinstance(value, str):
                    parts[key] = parts.get(key, "") + value
    if not over and not choice.get("finish_reason"):
        return None
    return {**whole, "choices": [{**choice, "message": parts}]}


def read_completion(body: Any) -> Completion:
    """Reads the body of an answer of ``/chat/completions``.

    Raises:
        NotACompletionError: it is not one.
    """
    if not isinstance(body, dict):
        raise NotACompletionError(f"the body is {_kind(body)}, not an object")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotACompletionError("the field 'choices' is missing, empty or no list")
    message = choices[0].get("message", ...) if isinstance(choices[0], dict) else ...
    if message is not None and not isinstance(message, dict):
        raise NotACompletionError("the first choice holds no message")
    message = message or {}
    reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    finish = choices[0].get("finish_reason")
    return Completion(
        text=_content(message.get("content")),
        reasoning=reasoning,
        finish_reason=finish.lower() if isinstance(finish, str) else "stop",
        refusal=_text(message.get("refusal")),
        usage=_usage(body.get("usage")),
    )


def judge(completion: Completion, request: ChatRequest) -> Outcome:
    """What came of a request.

    A model whose content is empty while its reasoning holds text either ran out of tokens while it
    thought (Truncated), or its server filed the answer under the wrong heading: then that is the answer.
    """
    usage = completion.usage or _estimated(completion, request)
    if completion.refusal.strip() or completion.finish_reason == "refusal":
        return Refused(f"The model refused: {_short(completion.refusal or completion.text)}", usage)
    if completion.finish_reason in _FILTERED:
        return Filtered("A content filter stopped the answer.", usage)
    text = strip_reasoning(completion.text)
    if completion.finish_reason in _CUT:
        return Truncated(text, usage)
    if _is_blank(text):
        text = strip_reasoning(completion.reasoning)
    if _is_blank(text):
        return Empty(usage)
    if request.json_schema is None:
        return Ok(text, usage)
    try:
        extract_object(text, required_keys(request.json_schema))
    except MalformedJSONError as error:
        if _REFUSAL.match(text) and "{" not in text:
            return Refused(f"The model refused: {_short(text)}", usage)
        return Malformed(text, usage, str(error))
    return Ok(text, usage)


def required_keys(schema: dict[str, Any]) -> tuple[str, ...]:
    """The keys that an object of this JSON schema must have."""
    required = schema.get("required", ())
    return tuple(str(key) for key in required) if isinstance(required, list | tuple) else ()


def _content(value: Any) -> str:
    """The content as text: some servers send a list of parts."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        if not all(isinstance(part, str | None) for part in parts):
            raise NotACompletionError("a part of the content is no text")
        return "".join(part for part in parts if part)
    if value is not None and not isinstance(value, str):
        raise NotACompletionError(f"the content is {_kind(value)}, not a text")
    return value or ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    return Usage(prompt, completion)


def _estimated(completion: Completion, request: ChatRequest) -> Usage:
    prompt = sum(estimate_tokens(message.content) for message in request.messages)
    return Usage(prompt, estimate_tokens(completion.text + completion.reasoning), estimated=True)


def _is_blank(text: str) -> bool:
    """True where nothing can be seen: spaces, control characters, zero-width marks."""
    return all(character.isspace() or unicodedata.category(character) in ("Cc", "Cf") for character in text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a truth value", list: "a list", dict: "an object", str: "a text"}
    return names.get(type(value), "a number")
