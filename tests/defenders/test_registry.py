"""Defenders by name, and their place in a framework's registry."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.defenders import DEFENDERS, for_framework, load_defender, register
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import OUTCOMES
from openbackdoor_badllm.errors import BadLLMError, ConfigError

TAKEN = ("onion", "rap", "strip", "bki", "cube", "oracle")


@pytest.mark.parametrize("name", ["badllmtg", "BadLLMTG"])
def test_load_by_name(name: str) -> None:
    defender = load_defender({"name": name, "repair": "purge"})
    assert isinstance(defender, BadLLMTG)
    assert (defender.name, defender.pre, defender.correction) == ("badllmtg", True, False)
    assert defender.config.repair == "purge"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "badllmtgg"}, r"'defender\.name' must be 'badllmtg', .* did you mean 'badllmtg'\?"),
        ({}, r"'defender\.name' must be 'badllmtg'"),
        ({"name": "badllmtg", "repairs": "purge"}, r"'defender' has no key 'repairs': did you mean 'repair'\?"),
        ({"name": "badllmtg", "seed": "x"}, r"'defender\.seed' must be a whole number"),
    ],
)
def test_load_of_a_wrong_section(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_defender(config)


def test_loading_leaves_the_config_as_it_was() -> None:
    config = {"name": "BadLLMTG"}
    load_defender(config)
    assert config == {"name": "BadLLMTG"}


def test_register_adds_once_and_in_place() -> None:
    registry: dict[str, Any] = {"onion": object, "oracle": dict}
    same = registry
    register(registry)
    register(registry)
    assert registry is same
    ours = {f"{name}+" if name in TAKEN else name: for_framework(name) for name in DEFENDERS}
    assert registry == {"onion": object, "oracle": dict, **ours}


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


@pytest.mark.parametrize("name", sorted(DEFENDERS))
def test_every_defender_says_what_it_needs(name: str) -> None:
    defender = DEFENDERS[name]
    assert {type(getattr(defender, flag)) for flag in ("clean_rows_needed", "trains_model", "needs_llm")} == {bool}
    assert defender.stage in ("train", "test")
    assert defender.outcome in OUTCOMES
