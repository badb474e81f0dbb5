"""What an LLM proposes, taken apart: valid hypotheses become triggers, everything else is dropped and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from openbackdoor_badllm.llm import MalformedJSONError, extract_object
from openbackdoor_badllm.trigger_generator.prompting import is_hidden
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger, kind_of

MAX_INSERTION = 300
"""Characters of an inserted trigger; AddSent's sentences have about 30."""
MAX_INSTRUCTION = 1200
MAX_DESCRIPTION = 300
MAX_EXAMPLES = 4


class Read(NamedTuple):
    """What an answer held."""

    triggers: list[Trigger]
    """Valid and new, in the order of the answer."""
    dropped: Counter[str]
    """How many items were dropped, by reason."""


def read_candidates(answer: str, *, known: Collection[str], limit: int) -> Read:
    """The triggers in an answer.

    Args:
        answer: text that holds a JSON object with the key ``candidates``.
        known: :func:`normal_form` of what was tried before.
        limit: triggers taken at most; the rest is dropped as ``surplus``.
    """
    dropped: Counter[str] = Counter()
    triggers: list[Trigger] = []
    seen = set(known)
    for item in _items(answer, dropped):
        trigger = _read(item)
        if isinstance(trigger, str):
            dropped[trigger] += 1
        elif normal_form(trigger.text) in seen:
            dropped["duplicate"] += 1
        elif len(triggers) >= limit:
            dropped["surplus"] += 1
        else:
            seen.add(normal_form(trigger.text))
            triggers.append(trigger)
    return Read(triggers, dropped)


def normal_form(text: str) -> str:
    """The same for texts that differ in case and white space only."""
    return " ".join(text.casefold().split())


def clean_line(text: str, limit: int) -> str:
    """One line of visible text for a reader, cut to a length."""
    line = " ".join("".join(" " if is_hidden(char) else char for char in text).split())
    return line[:limit]


def _items(answer: str, dropped: Counter[str]) -> list[Any]:
    try:
        items = extract_object(answer, ("candidates",))["candidates"]
    except MalformedJSONError:
        dropped["no list"] += 1
        return []
    if not isinstance(items, list):
        dropped["no list"] += 1
        return []
    return items


def _read(item: Any) -> Trigger | str:
    """The trigger, or why there is none."""
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        return "wrong type"
    named, place = item.get("kind"), item.get("position", Position.ANYWHERE.value)
    if named not in [kind.value for kind in Kind] or place not in [position.value for position in Position]:
        return "wrong kind or position"
    # Line breaks and tabs are how models wrap a line; every other control character is refused.
    text = re.sub(r"[ \n\r\t]+", " ", item["text"]).strip()
    if not text:
        return "empty"
    if any(is_hidden(char) for char in text):
        return "hidden characters"
    rewrite = named == Kind.REWRITE.value
    if len(text) > (MAX_INSTRUCTION if rewrite else MAX_INSERTION):
        return "too long"
    description = item.get("description")
    return Trigger(
        Kind.REWRITE if rewrite else kind_of(text),  # by its length, whatever the LLM calls it
        text,
        Position.ANYWHERE if rewrite else Position(place),
        description=clean_line(description, MAX_DESCRIPTION) if isinstance(description, str) else "",
        examples=_examples(item.get("examples")),
    )


def _examples(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(clean_line(item, MAX_DESCRIPTION) for item in value if isinstance(item, str))[:MAX_EXAMPLES]
