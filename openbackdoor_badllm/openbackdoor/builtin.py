"""The built-in host: OpenBackdoor's six nouns, with its names, signatures and config keys. All code is our own."""

from __future__ import annotations

from typing import Any

from openbackdoor_badllm import defenders
from openbackdoor_badllm.attacks.attacker import load_attacker
from openbackdoor_badllm.attacks.poisoner import load_poisoner
from openbackdoor_badllm.attacks.victim import load_victim
from openbackdoor_badllm.attacks.victim_trainer import load_trainer
from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.openbackdoor.settings import set_config

__all__ = [
    "load_attacker",
    "load_dataset",
    "load_defender",
    "load_poisoner",
    "load_trainer",
    "load_victim",
    "set_config",
]


def load_defender(config: dict[str, Any]) -> Defender:
    """The defender of a section ``defender``.

    This host can change a trained model, so ``badllmtg`` repairs it in place where the section does not say otherwise.

    Raises:
        ConfigError: unknown name or key.
    """
    in_place = str(config.get("name", "")).lower() == defenders.STRICT
    return defenders.load_defender({**({"from_scratch": False} if in_place else {}), **config})
