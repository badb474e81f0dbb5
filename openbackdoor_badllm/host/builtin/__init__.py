"""The built-in host: OpenBackdoor's six nouns, with its names, signatures and config keys. All code is our own."""

from __future__ import annotations

from openbackdoor_badllm.defenders import load_defender
from openbackdoor_badllm.host.builtin.attacker import load_attacker
from openbackdoor_badllm.host.builtin.dataset import load_dataset
from openbackdoor_badllm.host.builtin.poisoner import load_poisoner
from openbackdoor_badllm.host.builtin.settings import set_config
from openbackdoor_badllm.host.builtin.trainer import load_trainer
from openbackdoor_badllm.host.builtin.victim import load_victim

__all__ = [
    "load_attacker",
    "load_dataset",
    "load_defender",
    "load_poisoner",
    "load_trainer",
    "load_victim",
    "set_config",
]
