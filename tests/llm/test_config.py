from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm import LLMConfig
from openbackdoor_badllm.section import read

GOOD = {"backend": "openai", "model": "m", "base_url": "http://localhost:8000/v1"}


def test_a_block_is_read() -> None:
    config = read(LLMConfig, {**GOOD, "api_key_env": "MY_KEY", "temperature": 0, "max_calls": 15}, "llm")
    assert config.model == "m"
    assert config.temperature == 0
    assert config.model_dump()["api_key_env"] == "MY_KEY"
    assert read(LLMConfig, config.model_dump(), "llm") == config


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
        read(LLMConfig, {**GOOD, **block}, "llm")
    assert "SENTINEL" not in str(caught.value)
    assert "0f3cbe" not in str(caught.value)


def test_the_sentence_for_a_literal_key_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="put it into an environment variable"):
        read(LLMConfig, {**GOOD, "api_key": "x"}, "llm")


def test_user_info_is_cut_from_the_address() -> None:
    config = read(LLMConfig, {**GOOD, "base_url": "https://me:geheim@host:81/v1/"}, "llm")
    assert config.base_url == "https://host:81/v1"
    assert "geheim" not in repr(config)


def test_one_recording_may_stand_without_a_list() -> None:
    assert read(LLMConfig, {"backend": "replay", "replay": "a.jsonl"}, "llm").replay == ("a.jsonl",)
    assert read(LLMConfig, {"backend": "replay", "replay": ["a", "b"]}, "llm").replay == ("a", "b")


def test_a_model_that_is_required_must_be_asked() -> None:
    with pytest.raises(ConfigError, match=r"'llm\.required' is true, but the backend 'offline' asks"):
        read(LLMConfig, {"backend": "offline", "required": True}, "llm")
    assert read(LLMConfig, {**GOOD, "required": True}, "llm").required
