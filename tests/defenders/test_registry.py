"""Defenders by name, and their place in a framework's registry."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.defenders import load_defender, register
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.errors import BadLLMError, ConfigError


@pytest.mark.parametrize("name", ["badllmtg", "BadLLMTG"])
def test_load_by_name(name: str) -> None:
    defender = load_defender({"name": name, "repair": "purge"})
    assert isinstance(defender, BadLLMTG)
    assert (defender.name, defender.pre, defender.correction) == ("badllmtg", True, False)
    assert defender.config.repair == "purge"


def test_a_name_with_a_plus_is_ours_on_either_host() -> None:
    registry: dict[str, Any] = {}
    register(registry)
    assert set(registry) >= {"onion+", "rap+", "strip+", "bki+", "cube+"}
    assert "onion" not in registry
    for name in ("onion+", "STRIP+"):
        ours = load_defender({"name": name})
        theirs = registry[name.lower()](name=name)  # as OpenBackdoor makes it
        assert type(ours) is type(theirs)
        assert ours.name == theirs.name == name.lower().removesuffix("+")


def test_register_never_takes_a_name_away() -> None:
    registry: dict[str, Any] = {"badllmtg": dict}
    with pytest.raises(BadLLMError, match="The defender name 'badllmtg' is taken by <class 'dict'>; nothing was"):
        register(registry)
    assert registry == {"badllmtg": dict}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("onion", {"bar": 0}, "has no key 'bar'"), ("onion", {"pre": True}, "'onion' acts at test time"),
    ("onion", {"threshold": "low"}, "threshold"), ("rap", {"trigger": "mb"}, "did you mean 'triggers'"),
    ("rap", {"triggers": []}, "must hold one word, but holds 0"), ("rap", {"correction": True}, "'rap' flags rows"),
    ("strip", {"swap_ratio": 2.0}, "swap_ratio"), ("strip", {"use_oppsite_set": True}, "reads the poison flags"),
    ("strip", {"clean_rows": 3}, "clean_rows"),
    ("bki", {"pre": False}, "'bki' filters training rows: set 'pre' to true"), ("bki", {"top": 0}, "top"),
    ("cube", {"min_sample": 5}, "did you mean 'min_samples'"), ("cube", {"reduction": "tsne"}, "reduction"),
    ("musclelora", {"ref_samples": 9}, "did you mean 'ref_sample'"), ("musclelora", {"bands": []}, "bands"),
    ("musclelora", {"pre": True}, "'musclelora' trains a model of its own"), ("badacts", {"mode": "detect"}, "mode"),
    ("badacts", {"c": float("nan")}, "defender\\.c\\b"),
    ("badacts", {"pre": True}, "'badacts' acts on activations at test time"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "message"), WRONG)
def test_wrong_keys_of_a_defender(name: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_defender({"name": name, **keys})
