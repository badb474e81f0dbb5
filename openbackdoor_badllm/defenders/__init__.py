"""Defenders by the names that a config uses.

A name with a plus, such as ``onion+``, is ours on every host: OpenBackdoor has defenders of some of these names itself.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from openbackdoor_badllm.defenders.badacts import BadActs
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.defenders.bki import BKI
from openbackdoor_badllm.defenders.cube import CUBE
from openbackdoor_badllm.defenders.musclelora import MuScleLoRA
from openbackdoor_badllm.defenders.onion import ONION
from openbackdoor_badllm.defenders.oracle import Clean, Oracle
from openbackdoor_badllm.defenders.rap import RAP
from openbackdoor_badllm.defenders.strip import STRIP
from openbackdoor_badllm.errors import BadLLMError
from openbackdoor_badllm.reading import one_of

DEFENDERS: dict[str, type[Defender]] = {
    "badllmtg": BadLLMTG,
    "onion": ONION,
    "rap": RAP,
    "strip": STRIP,
    "bki": BKI,
    "cube": CUBE,
    "musclelora": MuScleLoRA,
    "badacts": BadActs,
    "oracle": Oracle,
    "clean": Clean,
}

STRICT = "badllmtg"  # under no other name
FRAMEWORKS_OWN = ("base", "strip", "rap", "onion", "bki", "cube")


def load_defender(config: dict[str, Any]) -> Defender:
    """The defender of a section ``defender``.

    Raises:
        ConfigError: unknown name or key.
    """
    name = str(config.get("name", "")).lower().removesuffix("+")
    one_of("defender.name", name, DEFENDERS)
    return DEFENDERS[name](**{**config, "name": name})


def for_framework(name: str) -> Any:
    """What stands under a name of ours in a framework's registry; None where the name is not ours."""
    kind = DEFENDERS.get(name)
    if kind is None or kind.rebuild is Defender.rebuild:
        return kind
    # Here, as this is a matter of OpenBackdoor alone.
    from openbackdoor_badllm.openbackdoor.rebuilding import asked_twice

    return asked_twice(kind)


def register(registry: MutableMapping[str, Any]) -> None:
    """Adds our defenders to a framework's registry, once.

    A defender whose name the framework has, or has been given by somebody else, is added as ``NAME+``.

    Args:
        registry: OpenBackdoor's ``DEFENDERS``; changed in place, never rebound, because it is shared.

    Raises:
        BadLLMError: a name is taken by somebody else's class; nothing is added then.
    """
    added: dict[str, Any] = {}
    for name in DEFENDERS:
        defender = for_framework(name)
        free = name not in FRAMEWORKS_OWN and registry.get(name) in (None, defender)
        given = name if free or name == STRICT else f"{name}+"
        present = registry.get(given)
        if present not in (None, defender):
            raise BadLLMError(f"The defender name '{given}' is taken by {present!r}; nothing was registered over it.")
        added[given] = defender
    registry.update(added)
