from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm import LLMConfig

GOOD = {"backend": "openai", "model": "m", "base_url": "http://localhost:8000/v1"}


def test_a_block_is_read() -> None:
    config = LLMConfig.from_mapping({**GOOD, "api_key_env": "MY_KEY", "temperature": 0, "max_calls": 15})
    assert config.model == "m"
    assert config.temperature == 0
    assert config.to_mapping()["api_key_env"] == "MY_KEY"
    assert LLMConfig.from_mapping(config.to_mapping()) == config


SECRET = "sk-SENTINEL0123456789abcdef"


@pytest.mark.parametrize(
    "block",
    [
        {"api_key": SECRET},
        {"api-key": SECRET},
        {"API_KEY": SECRET},
        {"token": SECRET},
        {"api_key_env": SECRET},
        {"api_key_env": "0f3cbe77a1b24d6c9e88"},
        {"model": SECRET},
        {"backend": SECRET},
        {"temperature": SECRET},
        {SECRET: 1},
        {"extra_body": {"api_key": SECRET}},
        {"extra_body": {"a": [{"b": SECRET}]}},
    ],
)
def test_a_literal_key_is_refused_and_not_repeated(block: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.from_mapping({**GOOD, **block})
    assert "SENTINEL" not in str(caught.value)
    assert "0f3cbe" not in str(caught.value)


def test_the_sentence_for_a_literal_key_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="put it into an environment variable"):
        LLMConfig.from_mapping({**GOOD, "api_key": "x"})


def test_user_info_is_cut_from_the_address() -> None:
    config = LLMConfig.from_mapping({**GOOD, "base_url": "https://me:geheim@host:81/v1/"})
    assert config.base_url == "https://host:81/v1"
    assert "geheim" not in repr(config)


def test_one_recording_may_stand_without_a_list() -> None:
    assert LLMConfig.from_mapping({"backend": "replay", "replay": "a.jsonl"}).replay == ("a.jsonl",)
    assert LLMConfig.from_mapping({"backend": "replay", "replay": ["a", "b"]}).replay == ("a", "b")
