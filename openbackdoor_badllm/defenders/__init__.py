"""Defenders by the names that a config uses."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from openbackdoor_badllm.defenders.badacts import BadActs
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.defenders.musclelora import MuScleLoRA
from openbackdoor_badllm.errors import BadLLMError
from openbackdoor_badllm.reading import one_of

DEFENDERS: dict[str, type[Defender]] = {"badllmtg": BadLLMTG, "musclelora": MuScleLoRA, "badacts": BadActs}


def load_defender(config: dict[str, Any]) -> Defender:
    """The defender of a section ``defender``.

    Raises:
        ConfigError: unknown name or key.
    """
    name = str(config.get("name", "")).lower()
    one_of("defender.name", name, DEFENDERS)
    return DEFENDERS[name](**{**config, "name": name})


def register(registry: MutableMapping[str, Any]) -> None:
    """Adds our defenders to a framework's registry, once.

    Args:
        registry: OpenBackdoor's ``DEFENDERS``; changed in place, never rebound, because it is shared.

    Raises:
        BadLLMError: a name is taken by somebody else's class.
    """
    for name, defender in DEFENDERS.items():
        present = registry.get(name)
        if present is not None and present is not defender:
            raise BadLLMError(f"The defender name '{name}' is taken by {present!r}; nothing was registered over it.")
    for name, defender in DEFENDERS.items():
        registry.setdefault(name, defender)
