"""The host of a run: the built-in implementation of OpenBackdoor's loaders, or the real framework."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import UserError
from openbackdoor_badllm.reading import one_of

logger = logging.getLogger(__name__)

BUILTIN, UPSTREAM, AUTO = "builtin", "upstream", "auto"
HOSTS = (BUILTIN, UPSTREAM, AUTO)


@dataclass(frozen=True)
class Host:
    """The objects of a host.

    Attributes:
        name: ``builtin`` or ``upstream``.
        defenders: the names that a config may give a defender.
        revision: the commit of the real OpenBackdoor; empty for the built-in host.
        home: the real one's folder where it was named, so that other processes find the same; None where it was found
            installed.
        fallback: why ``auto`` did not take the real one; empty otherwise.
    """

    name: str
    set_config: Callable[[dict[str, Any]], dict[str, Any]]
    load_dataset: Callable[..., Any]
    load_victim: Callable[[dict[str, Any]], Any]
    load_attacker: Callable[[dict[str, Any]], Any]
    load_defender: Callable[[dict[str, Any]], Any]
    defenders: Sequence[str] = ()
    revision: str = ""
    home: Path | None = None
    fallback: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """What tells its runs from those of the built-in host, which has none: its run folders keep their names."""
        return {} if self.name == BUILTIN else {"host": self.name, "host_revision": self.revision}


def open_host(name: str = BUILTIN, home: Path | None = None) -> Host:
    """The host of that name.

    Args:
        name: ``builtin``; ``upstream``, the real OpenBackdoor; ``auto``: the real one where it can be imported, else
            the built-in one.
        home: clone of OpenBackdoor; else ``OPENBACKDOOR_HOME``, else the installed one.

    Raises:
        ConfigError: unknown name, or the real one was asked for and cannot be had.
        MissingExtraError: the real one was asked for, and a package that it needs is not installed.
    """
    one_of("--host", name, HOSTS)
    if name == BUILTIN:
        return _builtin()
    try:
        return _upstream(home)
    except UserError as error:
        if name == UPSTREAM:
            raise
        logger.info("the host is the built-in one: %s", error)
        return _builtin(str(error))


def _builtin(fallback: str = "") -> Host:
    # Here, as torch and transformers take seconds.
    from openbackdoor_badllm.defenders import DEFENDERS, FRAMEWORKS_OWN
    from openbackdoor_badllm.openbackdoor import builtin

    return Host(
        name=BUILTIN,
        set_config=builtin.set_config,
        load_dataset=builtin.load_dataset,
        load_victim=builtin.load_victim,
        load_attacker=builtin.load_attacker,
        load_defender=builtin.load_defender,
        defenders=(*DEFENDERS, *(f"{name}+" for name in FRAMEWORKS_OWN if name in DEFENDERS)),
        fallback=fallback,
    )


def _upstream(home: Path | None) -> Host:
    from openbackdoor_badllm.openbackdoor.finding import VARIABLE, revision
    from openbackdoor_badllm.openbackdoor.importing import load

    framework = load(home)
    from openbackdoor_badllm.openbackdoor.builtin import load_dataset
    from openbackdoor_badllm.openbackdoor.nouns import Nouns

    nouns, folder = Nouns(framework), Path(str(framework.__file__)).resolve().parent
    named = home is not None or bool(os.environ.get(VARIABLE))
    return Host(
        name=UPSTREAM,
        set_config=nouns.set_config,
        load_dataset=load_dataset,
        load_victim=nouns.load_victim,
        load_attacker=nouns.load_attacker,
        load_defender=nouns.load_defender,
        defenders=tuple(framework.defenders.DEFENDERS),
        revision=revision(folder),
        home=folder if named else None,
    )
