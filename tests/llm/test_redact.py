from __future__ import annotations

import logging

import pytest

from openbackdoor_badllm.llm.redact import MARK, Redactor, guard_loggers

SECRET = 'a"b/c+SENTINEL=='


def test_a_secret_is_found_in_every_form() -> None:
    clean = Redactor([SECRET])
    for form in (SECRET, r"a\"b/c+SENTINEL==", "a%22b%2Fc%2BSENTINEL%3D%3D"):
        assert clean(f"x {form} y") == f"x {MARK} y"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12345",
        "key sk-abcdefghijklmnopqrstuv was rejected",
        "http://user:password@host/v1",
    ],
)
def test_what_looks_like_a_key_is_cut_without_being_known(text: str) -> None:
    cleaned = Redactor()(text)
    assert MARK in cleaned
    assert "abcdefgh" not in cleaned
    assert "password" not in cleaned


def test_an_answer_loses_only_the_known_secret() -> None:
    text = "the bearer of bad-news-from-afar, sk-abcdefghijklmnopqrstuv"
    assert Redactor([SECRET]).exact(text) == text


def test_what_libraries_log_is_cleaned_until_released(caplog: pytest.LogCaptureFixture) -> None:
    child = logging.getLogger("somelib.http")
    release = guard_loggers(Redactor([SECRET]), ["somelib"])
    with caplog.at_level(logging.DEBUG):
        child.debug("headers %s", {"x": SECRET.replace('"', "'")})
        child.debug("headers %s", SECRET)
        try:
            raise ValueError(SECRET)
        except ValueError:
            child.exception("it failed")
        child.info("fine %d", 3)
    release()
    assert "b/c+SENTINEL" not in caplog.text.replace("a'b/c+SENTINEL", "")
    assert "fine 3" in caplog.text
    assert not child.filters
