"""Reads the files that a user names and his ``--set`` overrides; what does not fit is refused in one sentence.

Nothing heavy is imported here, so that a misspelt file name or key need not wait for torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import ConfigError


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuses a key that is not known, naming the nearest one.

    Raises:
        ConfigError: there is such a key.
    """
    names = sorted(known)
    for key in keys:
        if key not in names:
            raise ConfigError(f"'{where}' has no key '{key}': {nearest(str(key), names)}")


def nearest(name: str, known: Sequence[str]) -> str:
    """The hint for a name that is not known: the nearest one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"it knows {', '.join(known)}."


def one_of(where: str, value: object, allowed: Iterable[object]) -> None:
    """Refuses a value that is not among the allowed ones.

    Raises:
        ConfigError: it is not.
    """
    choices = list(allowed)
    if value not in choices:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise ConfigError(f"'{where}' must be {either(choices)}, but is {shown(value)}{hint}")


def at_least(where: str, value: float, least: float) -> None:
    """Refuses a number below a bound.

    Raises:
        ConfigError: it is below.
    """
    if not value >= least:
        raise ConfigError(f"'{where}' must be at least {least}, but is {value}.")


def check_seed(where: str, value: object) -> None:
    """Refuses what NumPy and torch do not take for a seed.

    Raises:
        ConfigError: it is no whole number from 0 to 2**32 - 1.
    """
    if type(value) is not int or not 0 <= value < 2**32:
        raise ConfigError(f"'{where}' must be a whole number from 0 to 4294967295, but is {shown(value)}.")


def want_section(where: str, value: object) -> None:
    """Refuses what is no section in braces.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"'{where}' must be a section in braces, but is {shown(value)}.")


def read_file(path: Path, what: str, kind: str, *, where: str) -> str:
    """The text of a file that a user has named.

    Args:
        path: the file.
        what: what it is, for the message; ``kind`` is its format, ``where`` the place of its name.

    Raises:
        ConfigError: missing, unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"The {what} '{path}' does not exist: check {where}.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"The {what} '{path}' cannot be read ({reason}): name a {kind} file.") from None


def load_json(path: Path) -> dict[str, Any]:
    """A config file as a dict.

    Raises:
        ConfigError: missing, unreadable, or not JSON.
    """
    content = read_file(path, "config file", "JSON", where="the path after --config")
    try:
        config = json.loads(content)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"The config file '{path}' is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        raise ConfigError(
            f"The config file '{path}' is not valid JSON: it is nested too deeply or holds a huge number."
        ) from None
    if not isinstance(config, dict):
        raise ConfigError(f"The config file '{path}' must hold an object in braces, but holds {shown(config)}.")
    return config


def json_or_text(text: str) -> Any:
    """A value as JSON; what is none is text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def apply_overrides(
    config: dict[str, Any],
    overrides: Iterable[str],
    *,
    parse: Callable[[str], Any] = json_or_text,
    example: str = "defender.repair=paper",
) -> None:
    """Writes ``key.path=value`` into a config.

    Args:
        config: changed in place.
        overrides: what to write.
        parse: reads a value.
        example: an override that would do, for the message.

    Raises:
        ConfigError: an override has no ``=``, or its path goes through something that is no section.
    """
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign or not path.strip():
            raise ConfigError(f"--set expects key=value, for instance {example}, but got '{override}'.")
        put(config, path.strip(), parse(text))


def put(config: dict[str, Any], path: str, value: object) -> None:
    """Writes a value at a dotted path, making sections on the way.

    Raises:
        ConfigError: the path goes through something that is no section.
    """
    *sections, key = path.split(".")
    place: Any = config
    for name in sections:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ConfigError(f"'{path}' cannot be set: '{name}' is {shown(place)}, not a section.")
    place[key] = value


def either(choices: Iterable[object]) -> str:
    """The choices in words: ``'a', 'b' or true``."""
    names = [f"'{choice}'" if isinstance(choice, str) else json.dumps(choice) for choice in choices]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def shown(value: object) -> str:
    """A value as JSON, cut to 60 characters."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
