"""What an LLM proposes, taken apart: valid hypotheses become triggers, everything else is dropped and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from openbackdoor_badllm.llm import MalformedJSONError, extract_object, strip_reasoning
from openbackdoor_badllm.trigger_generator.prompting import is_hidden
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger, kind_of

MAX_INSERTION = 300
"""Characters of an inserted trigger; AddSent's sentences have about 30."""
MAX_INSTRUCTION = 1200
MAX_DESCRIPTION = 300
MAX_EXAMPLES = 4
LONGEST_LINE = 8
"""Words of an answer of one line without a number that may be a candidate."""


_ITEM = re.compile(r"^\s*(?:\d+\s*[.):]|[-*\u2022])?\s*(?P<rest>\S.*)$")
_NAMED = re.compile(r"^(?P<kind>word|phrase|sentence|style|rewrite)s?\s*[:=-]\s*", re.IGNORECASE)
_QUOTED = re.compile(r"^[\"\u201c'`*]+(?P<inner>.+?)[\"\u201d'`*]+(?=\W*$| [-\u2013(])")


class Read(NamedTuple):
    """What an answer held."""

    proposed: list[tuple[Trigger, int | None]]
    """Valid and new, in the order of the answer, with the label that each is said to lead to."""
    dropped: Counter[str]
    """How many items were dropped, by reason."""

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers without their labels."""
        return [trigger for trigger, _ in self.proposed]


def read_candidates(
    answer: str, *, known: Collection[tuple[str, int | None]], limit: int, listed_for: int | None = None
) -> Read:
    """The triggers in an answer: a JSON object with the key ``candidates``, or a numbered list.

    Args:
        answer: what the language model wrote.
        known: :func:`normal_form` and label of what was tried before.
        limit: triggers taken at most; the rest is dropped as ``surplus``.
        listed_for: the label about which a numbered list was asked for; None where JSON was.
    """
    dropped: Counter[str] = Counter()
    proposed: list[tuple[Trigger, int | None]] = []
    seen = set(known)
    for item in _items(answer, listed_for is not None, dropped):
        trigger = _read(item)
        if isinstance(trigger, str):
            dropped[trigger] += 1
            continue
        label = item.get("label")
        label = label if isinstance(label, int) and not isinstance(label, bool) else listed_for
        mark = (normal_form(trigger.text), label)
        if mark in seen:
            dropped["duplicate"] += 1
        elif len(proposed) >= limit:
            dropped["surplus"] += 1
        else:
            seen.add(mark)
            proposed.append((trigger, label))
    return Read(proposed, dropped)


def normal_form(text: str) -> str:
    """The same for texts that differ in case and white space only."""
    return " ".join(text.casefold().split())


def clean_line(text: str, limit: int) -> str:
    """One line of visible text for a reader, cut to a length."""
    line = " ".join("".join(" " if is_hidden(char) else char for char in text).split())
    return line[:limit]


def _items(answer: str, listed: bool, dropped: Counter[str]) -> list[Any]:
    try:
        items = extract_object(answer, ("candidates",))["candidates"]
    except MalformedJSONError:
        items = _listed(answer) if listed else []
    if not isinstance(items, list) or not items:
        dropped["no list"] += 1
        return []
    return items


def _listed(answer: str) -> list[Any]:
    """The lines of a numbered list, or the one line of an answer that is no list; nothing of prose or broken JSON."""
    lines = [line for line in strip_reasoning(answer).splitlines() if line.strip()]
    numbered = [line for line in lines if re.match(r"\s*(?:\d+\s*[.):]|[-*\u2022])\s*\S", line)]
    chosen = numbered or (lines if len(lines) == 1 and len(lines[0].split()) <= LONGEST_LINE else [])
    items = []
    for line in chosen:
        match = _ITEM.match(line)
        rest = match["rest"].strip() if match else ""
        named = _NAMED.match(rest)
        rest = rest[named.end() :].strip() if named else rest
        quoted = _QUOTED.match(rest)
        text = quoted["inner"] if quoted else rest.rstrip(".;,")
        if rest.startswith(("{", "[", "}")) or not any(char.isalnum() for char in text):
            continue
        style = named is not None and named["kind"].lower() in ("style", "rewrite")
        told = f"Rewrite the text in this style, and keep its meaning: {text}" if style else text
        items.append({"kind": "rewrite" if style else "word", "text": told, "description": text if style else ""})
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
