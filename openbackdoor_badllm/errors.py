"""Errors that a user can mend, each told in one sentence.

The command line prints the message of a :class:`UserError` without a traceback and exits with
:data:`EXIT_BAD_INPUT`. A message says what was expected, what came, and how to mend it.
Everything else that is raised is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_FOUND = 3
EXIT_INTERRUPTED = 130


class BadLLMError(Exception):
    """Base of everything that this package raises on purpose."""


class UserError(BadLLMError):
    """Something that the user can mend; ``str(error)`` is one sentence for him."""


class ConfigError(UserError):
    """A configuration key is unknown, missing or has a wrong value."""


class DataError(UserError):
    """A data set cannot be found or cannot be used."""


class VictimError(UserError):
    """A victim model cannot be loaded or does not fit the data."""


class MissingExtraError(UserError):
    """An optional package is needed; the message holds the exact ``pip install`` line."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"run  pip install 'openbackdoor-badllm[{extra}]'."
        )
        self.package = package
        self.extra = extra
