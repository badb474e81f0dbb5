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


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"modle": "x"}, "did you mean 'model'"),
        ({"base-url": "x"}, "did you mean 'base_url'"),
        ({"max_call": 3}, "did you mean 'max_calls'"),
        ({"zzzz": 3}, "known are"),
        ({"backend": "gpt"}, "one of openai, transformers, replay, offline"),
        ({"temperature": "hot"}, "llm.temperature must be a number"),
        ({"temperature": 3}, "between 0 and 2"),
        ({"temperature": float("nan")}, "finite"),
        ({"top_p": 0}, "llm.top_p"),
        ({"max_tokens": 1.5}, "llm.max_tokens must be a whole number"),
        ({"max_tokens": True}, "llm.max_tokens must be a whole number"),
        ({"concurrency": 0}, "llm.concurrency must be greater than 0"),
        ({"retry_wait": -1}, "llm.retry_wait must not be negative"),
        ({"model": " "}, "llm.model is missing"),
        ({"backend": "replay"}, "llm.replay is missing"),
        ({"replay": [1]}, "llm.replay must be a path"),
        ({"extra_body": 3}, "llm.extra_body must be an object"),
        ({"max_money": 1.0}, "price is unknown"),
        ({"max_money": 1.0, "price_prompt": 1.0}, "price is unknown"),
        ({"max_calls": None}, "A run needs a bound"),
        ({"base_url": "localhost:8000"}, "llm.base_url must be an address"),
        ({"base_url": "http://h/v1?api-key=abc"}, "must not hold a query"),
        ({"base_url": "http://h:port/v1"}, "llm.base_url must be an address"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(block: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        LLMConfig.from_mapping({**GOOD, **block})
    assert "\n" not in str(caught.value)


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


def test_user_info_is_cut_from_the_address() -> None:
    config = LLMConfig.from_mapping({**GOOD, "base_url": "https://me:geheim@host:81/v1/"})
    assert config.base_url == "https://host:81/v1"
    assert "geheim" not in repr(config)
