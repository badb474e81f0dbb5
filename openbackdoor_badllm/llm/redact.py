"""Removal of API keys from everything that is written, logged or shown."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "[redacted]"

MIN_SECRET = 8
"""A shorter "key" is a placeholder such as "none" or "EMPTY"; to cut it would mar honest texts."""

_SHAPES = re.compile(
    r"(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|gsk|xai|hf|ghp|glpat)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAIza[0-9A-Za-z_-]{30,}"
    r"|(?<=://)[^/\s@:]*:[^/\s@]+(?=@)"
)
"""What looks like a key even where it is not ours: another one may stand in a server's message."""


class Redactor:
    """Cuts the given secrets, and whatever looks like a key, out of texts.

    The secrets are also found the way they stand in JSON and in a URL.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= MIN_SECRET:
                forms |= {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __repr__(self) -> str:
        return "Redactor()"

    def exact(self, text: str) -> str:
        """The text without the given secrets alone: for answers, which may hold any other string."""
        return self._known.sub(MARK, text) if self._known else text

    def __call__(self, text: str) -> str:
        """The text without the given secrets and without anything that has the shape of a key."""
        return _SHAPES.sub(MARK, self.exact(text))

    def tree(self, value: Any) -> Any:
        """A JSON value with the given secrets cut from every string in it, keys included."""
        if isinstance(value, str):
            return self.exact(value)
        if isinstance(value, dict):
            return {self.exact(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value


class _RedactingFilter(logging.Filter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a bad format string: logging itself complains about it
            return True
        clean = self._redactor(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            trace = "".join(traceback.format_exception(*record.exc_info))
            if self._redactor(trace) != trace:
                record.exc_info, record.exc_text = None, self._redactor(trace)
        return True


def guard_loggers(redactor: Redactor, roots: Iterable[str]) -> Callable[[], None]:
    """Redacts what libraries log by themselves, at any level, until the returned function is called.

    Args:
        redactor: what cuts the secrets.
        roots: names of top loggers; all loggers below them that exist by now are covered.
    """
    names = tuple(roots)
    existing = list(logging.Logger.manager.loggerDict)
    covered = [
        logging.getLogger(name)
        for name in {*names, *existing}
        if name in names or name.startswith(tuple(f"{root}." for root in names))
    ]
    guard = _RedactingFilter(redactor)
    for logger in covered:
        logger.addFilter(guard)

    def release() -> None:
        for logger in covered:
            logger.removeFilter(guard)

    return release
