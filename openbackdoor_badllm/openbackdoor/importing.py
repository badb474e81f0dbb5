"""Import hook that makes the real OpenBackdoor importable with current packages.

OpenBackdoor stopped in April 2023. Since then transformers dropped ``AdamW``, which ten of its files import, and it has
side effects that a plugin must not pass on: it replaces the root logger's handlers and sets environment variables.
:func:`hook` puts a finder in front of Python's own. It takes part in the import of ``openbackdoor`` alone: the real
package is found and executed as ever, with what it misses put in its way and everything put back afterwards.
"""

from __future__ import annotations

import importlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from openbackdoor_badllm.errors import BadLLMError, ConfigError, MissingExtraError
from openbackdoor_badllm.openbackdoor.finding import HOW_TO_GET_IT, PACKAGE, find, package_folder
from openbackdoor_badllm.openbackdoor.stubs import stand_ins

logger = logging.getLogger(__name__)


class Finder(MetaPathFinder):
    """Wraps the loader of OpenBackdoor.

    Attributes:
        home: a checkout; None: where :func:`find` looks.
    """

    home: Path | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of OpenBackdoor with :class:`_Loader` around its own loader; None for everything else."""
        if name != PACKAGE:
            return None
        try:
            spec = find(self.home, skip=self)
        except BadLLMError as error:  # to whoever only wrote an import, it is not there
            raise ModuleNotFoundError(str(error), name=PACKAGE) from error
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # get_source, get_code, is_package ...
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._inner.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        purge(keep=module)  # what an attempt before us left half imported
        try:
            with surroundings(Path(str(module.__file__)).parent):
                self._inner.exec_module(module)
            adopt(module)
        except BaseException:
            purge(keep=module)  # importlib takes away the package itself, not what it had imported
            raise


def hook() -> Finder:
    """Puts the finder in front of ``sys.meta_path``, once; what is imported already is adopted as it is."""
    for finder in sys.meta_path:
        if isinstance(finder, Finder):
            return finder
    finder = Finder()
    sys.meta_path.insert(0, finder)
    module = sys.modules.get(PACKAGE)
    if module is not None and f"{PACKAGE}.defenders" in sys.modules:
        adopt(module)
    return finder


def load(home: Path | None = None) -> ModuleType:
    """OpenBackdoor, imported.

    Args:
        home: its checkout; see :func:`find`.

    Raises:
        ConfigError: it cannot be found, its import fails, or another one is imported already.
        MissingExtraError: a package that it cannot do without is not installed.
    """
    wanted = package_folder(home.expanduser()).resolve() if home is not None else None
    module = sys.modules.get(PACKAGE)
    if module is not None:
        there = Path(str(module.__file__)).resolve().parent
        if wanted is not None and there != wanted:
            raise ConfigError(f"OpenBackdoor is imported from '{there}' already: '{wanted}' cannot be used beside it.")
        return module
    finder = hook()
    finder.home = home
    try:
        if find(home, skip=finder) is None:
            raise ConfigError(f"OpenBackdoor is not installed: {HOW_TO_GET_IT}.")
        return importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "openbackdoor", "OpenBackdoor") from error
    except (ImportError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            f"OpenBackdoor was found, but its import fails ({reason}): `badllmtg doctor` shows the versions; "
            "docs/openbackdoor.md says which were tried."
        ) from error


def adopt(module: ModuleType) -> None:
    """Puts our defenders beside OpenBackdoor's, and keeps its poisoners from loading paraphrasers too early.

    Raises:
        BadLLMError: somebody else's defender has our name.
    """
    with _random_states():  # what our defenders import draws from them (scikit-learn's progress bars, by way of rich)
        from openbackdoor_badllm.defenders import register
        from openbackdoor_badllm.openbackdoor.lazy_paraphrasers import postpone

        register(module.defenders.DEFENDERS)
        postpone(module.attackers.poisoners.POISONERS)


def purge(keep: ModuleType | None = None) -> None:
    """Forgets every module of OpenBackdoor, except ``keep``."""
    for name in list(sys.modules):
        if (name == PACKAGE or name.startswith(f"{PACKAGE}.")) and sys.modules[name] is not keep:
            del sys.modules[name]


@contextmanager
def surroundings(package: Path) -> Iterator[None]:
    """What OpenBackdoor needs around its import; everything as it was afterwards.

    Put back: handlers and level of the root logger, environment variables, warning filters, global random states,
    ``transformers.AdamW`` and the stubs.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", SyntaxWarning)  # `is` with a literal, three times
        stack.enter_context(redirect_stdout(sys.stderr))
        stack.enter_context(_environment())
        stack.enter_context(_root_logger())
        stack.enter_context(_random_states())
        stack.enter_context(stand_ins(package))
        stack.enter_context(_adamw())
        yield


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for key in set(os.environ) - set(before):
            del os.environ[key]
        for key, value in before.items():
            if os.environ.get(key) != value:
                os.environ[key] = value


@contextmanager
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@contextmanager
def _random_states() -> Iterator[None]:
    import numpy as np
    import torch

    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.random.set_rng_state(torch_state)


@contextmanager
def _adamw() -> Iterator[None]:
    """``transformers.AdamW``, where it is gone, with the defaults that it had (torch's own are others)."""
    # It replaces sys.modules["transformers"] when it is imported, so an attribute set before would be lost.
    importlib.import_module("transformers.processing_utils")
    transformers = sys.modules["transformers"]
    if hasattr(transformers, "AdamW"):
        yield
        return
    import torch

    class AdamW(torch.optim.AdamW):
        def __init__(
            self,
            params: Any,
            lr: float = 1e-3,
            betas: tuple[float, float] = (0.9, 0.999),
            eps: float = 1e-6,
            weight_decay: float = 0.0,
            correct_bias: bool = True,
            no_deprecation_warning: bool = False,
        ) -> None:
            if not correct_bias:
                raise NotImplementedError("AdamW without bias correction left transformers")
            super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    transformers.AdamW = AdamW  # type: ignore[attr-defined]
    try:
        yield
    finally:
        sys.modules["transformers"].__dict__.pop("AdamW", None)
