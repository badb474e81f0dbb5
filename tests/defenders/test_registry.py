"""Defenders by name, and their place in a framework's registry."""

from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.defenders import load_defender, register
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.errors import BadLLMError


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
