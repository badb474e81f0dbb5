"""``set_config``: OpenBackdoor's derived keys (poison setting and folders)."""

from __future__ import annotations

from typing import Any

from openbackdoor_badllm.errors import ConfigError


def set_config(config: dict[str, Any]) -> dict[str, Any]:
    """Adds the poison setting and the data folders to a config; changes it in place and returns it.

    Raises:
        ConfigError: a key that they are made from is missing.
    """
    try:
        poisoner = config["attacker"]["poisoner"]
        data = config["poison_dataset"]["name"]
        target_data = config["target_dataset"]["name"]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"The config lacks {error}: expected the sections 'attacker.poisoner', 'poison_dataset' and "
            "'target_dataset', each with a name."
        ) from None
    for key in ("name", "poison_rate", "target_label"):
        if key not in poisoner:
            raise ConfigError(f"The config lacks 'attacker.poisoner.{key}'.")
    consistent, dirty = poisoner.get("label_consistency", False), poisoner.get("label_dirty", False)
    setting = "clean" if consistent else "dirty" if dirty else "mix"
    name, target = poisoner["name"], poisoner["target_label"]
    poisoner["poison_setting"] = setting
    poisoner["poison_data_basepath"] = f"poison_data/{data}/{target}/{name}"
    poisoner["poisoned_data_path"] = f"poison_data/{data}/{target}/{name}/{setting}/{poisoner['poison_rate']}"
    for section, named in (("target_dataset", target_data), ("poison_dataset", data)):
        config[section]["load"] = bool(poisoner.get("load", False))
        config[section]["clean_data_basepath"] = f"poison_data/{named}/{target}/{setting}/{name}"
    return config
