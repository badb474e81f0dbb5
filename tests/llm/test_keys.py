from __future__ import annotations

import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.keys import is_loopback, read_key

FAR = "https://llm.example.org/v1"
NEAR = "http://localhost:11434/v1"


def test_a_server_on_this_machine_needs_no_key() -> None:
    assert read_key(None, NEAR, {}) is None
    assert read_key("K", NEAR, {}) is None


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "schlüssel"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="cannot stand in an HTTP header") as caught:
        read_key("K", FAR, {"K": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost/v1", True),
        ("http://127.0.0.5:1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://a.localhost/v1", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example.org/v1", False),
    ],
)
def test_loopback(url: str, local: bool) -> None:
    assert is_loopback(url) is local
