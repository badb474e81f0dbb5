"""OpenBackdoor's ``stylebkd`` and ``synbkd`` with paraphrasers that are loaded at the first use.

OpenBackdoor builds both networks in the poisoners' constructors, although with ``"load": true`` and ready CSV files
nothing is paraphrased. Subclasses of its two classes take their places in ``POISONERS``; they build the paraphraser
when the first text is to be rewritten, and say so in one sentence when it cannot be had (OpenBackdoor's ``synbkd``
would hand the text on unchanged and call it poisoned).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.openbackdoor.finding import PACKAGE

NOT_BUILT = "(not built)"


def postpone(poisoners: MutableMapping[str, Any]) -> None:
    """Puts the two subclasses into OpenBackdoor's ``POISONERS``, once; a class that is not its own is left alone."""
    for name, make in (("stylebkd", _style), ("synbkd", _syntax)):
        original = poisoners.get(name)
        if original is not None and str(original.__module__).startswith(f"{PACKAGE}."):
            poisoners[name] = make(original)


def _style(original: Any) -> type:
    module = sys.modules[original.__module__]

    class StyleBkdPoisoner(original):  # type: ignore[misc]
        __doc__ = original.__doc__

        paraphraser: Any

        def __init__(self, *args: Any, **config: Any) -> None:
            with _replaced(module, "GPT2Generator", _Later):
                super().__init__(*args, **config)

        def transform(self, text: str) -> Any:
            self._build()
            return super().transform(text)

        def transform_batch(self, texts: Sequence[str]) -> Any:
            self._build()
            return super().transform_batch(texts)

        def _build(self) -> None:
            known: Any = self.paraphraser
            if isinstance(known, _Later):
                self.paraphraser = known.build(module.GPT2Generator, self)

    return StyleBkdPoisoner


def _syntax(original: Any) -> type:
    module = sys.modules[original.__module__]

    class SynBkdPoisoner(original):  # type: ignore[misc]
        __doc__ = original.__doc__

        scpn: Any

        def __init__(self, template_id: int = -1, **config: Any) -> None:
            self._template_id = template_id
            with _replaced(module, "oa", SimpleNamespace(attackers=SimpleNamespace(SCPNAttacker=_Later))):
                super().__init__(template_id=template_id, **config)

        def transform(self, text: str) -> Any:
            known: Any = self.scpn
            if isinstance(known, _Later):
                self.scpn = known = known.build(module.oa.attackers.SCPNAttacker, self)
                self.template = [known.templates[self._template_id]]
            return super().transform(text)

    return SynBkdPoisoner


class _Later:
    """Keeps how a paraphraser was to be built."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._arguments = args, kwargs
        self._sampling: dict[str, Any] = {}
        self.templates = _Templates()

    def modify_p(self, **sampling: Any) -> None:
        self._sampling = sampling

    def build(self, factory: Callable[..., Any], poisoner: Any) -> Any:
        """The paraphraser.

        Raises:
            DataError: it cannot be had.
        """
        args, kwargs = self._arguments
        try:
            built = factory(*args, **kwargs)
            if self._sampling:
                built.modify_p(**self._sampling)
        except Exception as error:  # whatever its libraries raise
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
            raise DataError(
                f"The poisoner '{poisoner.name}' has to rewrite texts, and its paraphraser cannot be loaded "
                f"({reason}): set 'load' to true and put the ready CSV files under '{poisoner.poison_data_basepath}'."
            ) from error
        return built


class _Templates:
    """Stands for the list of syntax templates, which the paraphraser brings; only named in a log line before."""

    def __getitem__(self, index: int) -> list[str]:
        return [NOT_BUILT]


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
