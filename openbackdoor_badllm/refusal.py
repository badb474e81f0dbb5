"""From the field of a section to the words for it: what is expected, and the sentence for what came instead."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from openbackdoor_badllm.reading import either, nearest, shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

    from openbackdoor_badllm.section import Section

_NAMES: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}


def sentence(error: ValidationError, cls: type[Section], where: str) -> str:
    """The one sentence for values that a section refused: what was expected, what came, how to mend it.

    Args:
        error: pydantic's; of several complaints the most telling one is taken, a misspelt key before a value.
        cls: the section's class.
        where: the section's name in the config.
    """
    found = error.errors(include_url=False)
    complaint = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
    spot = _spot(cls, where, complaint["loc"])
    if complaint["type"] == "extra_forbidden":
        return _unknown(str(complaint["loc"][-1]), spot)
    if complaint["type"] == "missing":
        return f"'{spot.place}' is missing: give {expected(spot.field) if spot.field else 'it'}."
    if complaint["type"] == "value_error":
        return str(complaint["ctx"]["error"]).replace("{here}", spot.place or cls.__name__)
    wanted = expected(spot.field).removesuffix(", or null") if spot.field else "a section in braces"
    verb = "holds" if spot.inside else "is"
    value = complaint["input"]
    told = f"'{spot.place}' must be {wanted}, but {verb} {_told(value, spot)}"
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices(spot.field)], n=1)
    return f"{told}; did you mean '{near[0]}'?" if near else f"{told}."


class _Spot(NamedTuple):
    """Where in a config a value stands."""

    place: str
    section: type[Section]
    field: FieldInfo | None
    inside: bool
    """It is an element of the field's value."""


def _spot(cls: type[Section], where: str, steps: Iterable[int | str]) -> _Spot:
    place, section, field = where, cls, None
    inner: type[Section] | None = cls
    inside = False
    for step in steps:
        if inner is None:
            inside = inside or isinstance(step, int)
        elif step in inner.model_fields:
            place = f"{place}.{step}" if place else str(step)
            section, field = inner, inner.model_fields[str(step)]
            inner = section_in(field.annotation)
        else:  # an unknown key
            section, field = inner, None
    return _Spot(place, section, field, inside)


def _unknown(key: str, spot: _Spot) -> str:
    from openbackdoor_badllm.llm.keys import LITERAL_KEY_NAMES, LITERAL_KEY_SENTENCE, looks_like_key

    if spot.section.discreet and key.lower().replace("-", "_") in LITERAL_KEY_NAMES:
        return LITERAL_KEY_SENTENCE.format(name=f"{spot.place}.{key}")
    known = sorted(spot.section.model_fields)
    told = "(hidden: it looks like a key)" if looks_like_key(key) else key
    return f"'{spot.place or spot.section.__name__}' has no key '{told}': {nearest(key, known)}"


def _told(value: object, spot: _Spot) -> str:
    """The value as a message shows it; never one that may be a secret."""
    from openbackdoor_badllm.llm.keys import looks_like_key

    if any(looks_like_key(text) for text in _texts(value)):
        return "a text that looks like a key"
    inner = section_in(spot.field.annotation) if spot.field else None
    discreet = inner.discreet if inner is not None else spot.section.discreet
    if discreet and isinstance(value, str) and not choices(spot.field):
        return "text"
    if discreet and isinstance(value, list | tuple | Mapping):
        return "a section" if isinstance(value, Mapping) else "a list"
    return shown(value)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def expected(field: FieldInfo) -> str:
    """What a field takes, in words: ``a whole number of at least 1, or null``."""
    return _words(field.annotation, field.metadata)


def choices(field: FieldInfo | None) -> list[object]:
    """The values that a field names one by one; none where it has a range or a type."""
    return list(_literals(field.annotation)) if field is not None else []


def section_in(hint: Any) -> type[Section] | None:
    """The section that a field holds, perhaps beside null."""
    for option in (hint, *typing.get_args(hint)):
        if isinstance(option, type) and hasattr(option, "model_fields"):
            return typing.cast("type[Section]", option)
    return None


def _words(hint: Any, metadata: Iterable[Any] = ()) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _words(arguments[0], [bound for item in arguments[1:] for bound in getattr(item, "metadata", [item])])
    if origin in (typing.Union, types.UnionType):
        kinds = set(arguments) - {type(None)} - ({int} if float in arguments else set())
        options = [_words(option, metadata) for option in arguments if option in kinds]
        return " or ".join(dict.fromkeys(options)) + (", or null" if type(None) in arguments else "")
    if origin is Literal:
        return either(arguments)
    if origin is tuple:
        return f"a list of {_plural(_words(arguments[0]))}{_bounds(metadata)}"
    if origin is dict:
        return "a section in braces" + (" that is not empty" if _bounds(metadata) else "")
    return _NAMES.get(hint, "a section in braces") + _bounds(metadata)


def _plural(words: str) -> str:
    for one, many in (("a whole number", "whole numbers"), ("a number", "numbers"), ("text", "texts")):
        if words.startswith(one):
            return many + words.removeprefix(one).replace("that is", "that are")
    return words


def _bounds(metadata: Iterable[Any]) -> str:
    known: dict[str, Any] = {}
    for item in metadata:
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"):
            value = getattr(item, name, None)
            if value is not None:
                known[name] = value
    if "pattern" in known:
        return " that is not empty"
    if known.get("max_length") == 0:
        return " that is empty"
    if "min_length" in known:
        exact = known["min_length"] == known.get("max_length")
        return f", {'' if exact else 'at least '}{known['min_length']} of them"
    if {"ge", "le"} <= known.keys():
        return f" from {known['ge']} to {known['le']}"
    told = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    parts = [f"{words} {known[name]}" for name, words in told.items() if name in known]
    return f" {' and '.join(parts)}" if parts else ""


def _literals(hint: Any) -> Iterator[object]:
    for argument in typing.get_args(hint):
        if typing.get_origin(hint) is Literal:
            yield argument
        else:
            yield from _literals(argument)
