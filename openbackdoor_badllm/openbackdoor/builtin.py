"""The built-in host: OpenBackdoor's objects, with its names, signatures and config keys. All code is our own."""

from __future__ import annotations

from typing import Any

from openbackdoor_badllm import defenders
from openbackdoor_badllm.attacks.attacker import Attacker
from openbackdoor_badllm.attacks.poisoner import Poisoner
from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.attacks.victim_trainer import Trainer
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


def load_attacker(config: dict[str, Any]) -> Attacker:
    """The attacker of a section ``attacker``; ConfigError for a name or key that is not known."""
    return Attacker(**config)


def load_poisoner(config: dict[str, Any]) -> Poisoner:
    """The poisoner of a section ``attacker.poisoner``; ConfigError for a name or key that is not known."""
    return Poisoner(**config)


def load_trainer(config: dict[str, Any]) -> Trainer:
    """The trainer of a section ``attacker.train``; ConfigError for a name or key that is not known."""
    return Trainer(**config)


def load_victim(config: dict[str, Any]) -> PLMVictim:
    """The victim of a section ``victim``; ConfigError for a bad key, VictimError for a folder without a model."""
    return PLMVictim(**config)


def load_defender(config: dict[str, Any]) -> Defender:
    """The defender of a section ``defender``; ConfigError for a name or key that is not known.

    This host can change a trained model, so ``badllmtg`` repairs it in place where the section does not say otherwise.
    """
    in_place = str(config.get("name", "")).lower() == defenders.STRICT
    return defenders.load_defender({**({"from_scratch": False} if in_place else {}), **config})
