"""Profiles: how large a run is. A profile overrides a config; ``--set`` overrides a profile."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from openbackdoor_badllm.reading import one_of, put


class Profile(NamedTuple):
    """Keys that a profile writes.

    Attributes:
        rows: bounds of the data (``max_train``, ``max_dev``, ``max_test``); the poison rate stays.
        victim: keys of the section ``victim``.
        train: keys of the section ``attacker.train``.
    """

    rows: Mapping[str, int]
    victim: Mapping[str, Any]
    train: Mapping[str, Any]


def _fixed(**keys: Any) -> Mapping[str, Any]:
    return MappingProxyType(keys)


PAPER_TRAIN = _fixed(lr=2e-5, epochs=5, batch_size=32, warm_up_epochs=1)
"""The paper's training, for a large model on all rows."""
# So few steps need a rate well above the paper's 2e-5, or the slowest insertion attack (badnets on AG News) is
# not learnt at all and there is nothing to defend against.
_FEW_ROWS = _fixed(lr=1e-4, batch_size=32, warm_up_epochs=0.5, ckpt="last")
_MINILM = _fixed(path="minilm", max_len=128)

PROFILES: dict[str, Profile] = {
    "smoke": Profile(_fixed(max_train=800, max_dev=200, max_test=400), _MINILM, _fixed(**_FEW_ROWS, epochs=3)),
    "desk": Profile(_fixed(max_train=1600, max_dev=400, max_test=2000), _MINILM, _fixed(**_FEW_ROWS, epochs=4)),
    "full": Profile(_fixed(), _fixed(), _fixed()),
}
"""``smoke``: minutes. ``desk``: a 2-core CPU. ``full``: the config as it stands, its own victim and training."""


def apply_profile(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of the config with a profile's keys written over it.

    Raises:
        ConfigError: unknown profile.
    """
    one_of("--profile", name, PROFILES)
    profile = PROFILES[name]
    changed = copy.deepcopy(config)
    for section, keys in (
        ("target_dataset", profile.rows), ("poison_dataset", profile.rows), ("victim", profile.victim),
        ("attacker.train", profile.train),
    ):
        for key, value in keys.items():
            put(changed, f"{section}.{key}", value)
    return changed
