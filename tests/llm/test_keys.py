from __future__ import annotations

import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.keys import OPENAI_URL, clean_url, is_loopback, read_key

FAR = "https://llm.example.org/v1"
NEAR = "http://localhost:11434/v1"


def test_the_key_comes_from_the_named_variable() -> None:
    assert read_key("K", FAR, {"K": "  abcdefgh\n"}) == "abcdefgh"


def test_a_server_on_this_machine_needs_no_key() -> None:
    assert read_key(None, NEAR, {}) is None
    assert read_key("K", NEAR, {}) is None


def test_another_server_may_need_none() -> None:
    assert read_key(None, FAR, {}) is None


def test_openai_needs_one() -> None:
    with pytest.raises(ConfigError, match=r'"api_key_env": "OPENAI_API_KEY"'):
        read_key(None, OPENAI_URL, {})


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match=r"MY_KEY .* is not set"):
        read_key("MY_KEY", FAR, {"MY_KEY": " "})


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


def test_an_address_keeps_its_path_and_port() -> None:
    assert clean_url(" https://u:p@[::1]:8000/api/v1/ ") == "https://[::1]:8000/api/v1"
