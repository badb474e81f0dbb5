"""Completes a config with the keys that the real OpenBackdoor needs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.section import Section
from openbackdoor_badllm.training.victims import resolve, resolve_auto

POISONER = {"label_consistency": False, "label_dirty": False, "load": False}  # set_config fails without them
BATCH_SIZE = 32
TRAINS_A_VICTIM = ("bki", "cube")  # OpenBackdoor's, with defaults that need the hub
OURS_ALONE = ("data_root", "max_train", "max_dev", "max_test", "path", "train_file", "paraphraser")


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which every key that OpenBackdoor cannot do without has a value.

    Written in where they are missing: the poisoner's setting, ``batch_size``, names, the victim's real path (for
    ``minilm`` and ``auto``), the probe of ``badllmtg`` (the attacked victim and its training, as on the built-in host),
    the model of OpenBackdoor's ``bki`` and ``cube``.

    Raises:
        VictimError: the victim's folder holds no usable model.
    """
    filled: dict[str, Any] = copy.deepcopy(dict(config))
    victim = filled.setdefault("victim", {})
    victim.setdefault("type", "plm")
    victim.setdefault("model", "bert")
    victim["path"] = _found(victim.get("path", "auto"))
    if victim.get("num_classes") is None:
        victim.pop("num_classes", None)
    attacker = filled.setdefault("attacker", {})
    attacker.setdefault("name", "base")
    train = attacker.setdefault("train", {})
    train.setdefault("name", "base")
    train.setdefault("batch_size", BATCH_SIZE)
    poisoner = attacker.setdefault("poisoner", {})
    for key, value in POISONER.items():
        poisoner.setdefault(key, value)
    defender = filled.get("defender")
    if isinstance(defender, dict) and defender:
        _complete_defender(defender, victim, train)
    return filled


@functools.cache  # a benchmark completes many configs, and the hub may take its time to not answer
def _found(path: str) -> str:
    return resolve(resolve_auto(path))


def _complete_defender(defender: dict[str, Any], victim: Mapping[str, Any], train: Mapping[str, Any]) -> None:
    name = str(defender.get("name", "")).lower()
    if name.removesuffix("+") in TRAINS_A_VICTIM:
        defender.setdefault("model_path", victim["path"])
        defender.setdefault("model_name", victim["model"])
        defender.setdefault("num_classes", victim.get("num_classes", 2))
    elif name == "badllmtg":  # it trains a probe like the attacked victim
        if defender.get("victim") is None:
            defender["victim"] = {**only(VictimConfig, victim), "type": "plm"}
        if defender.get("train") is None:
            defender["train"] = {**only(TrainConfig, train), "name": "base"}


def only(cls: type[Section], section: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a section of OpenBackdoor's that a section of ours has."""
    return {key: value for key, value in section.items() if key in cls.model_fields}


def ignored_keys(config: Mapping[str, Any]) -> list[str]:
    """Keys of ours that OpenBackdoor's own loaders would swallow without a word."""
    places = [(name, config.get(name)) for name in ("target_dataset", "poison_dataset")]
    attacker = config.get("attacker")
    places.append(("attacker.poisoner", attacker.get("poisoner") if isinstance(attacker, Mapping) else None))
    return [
        f"{place}.{key}"
        for place, section in places
        if isinstance(section, Mapping)
        for key in OURS_ALONE
        if key in section
    ]
