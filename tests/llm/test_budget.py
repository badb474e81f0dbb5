from __future__ import annotations

from typing import Any

import pytest

from openbackdoor_badllm.llm import Budget, Failed, Limits, Malformed, Ok, Usage

from .helpers import ask


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def budget(clock: Clock | None = None, **limits: Any) -> Budget:
    return Budget(Limits(**limits), clock or Clock())


def answered(one: Budget, times: int, tokens: int = 30, cached: bool = False) -> None:
    for _ in range(times):
        one.record(ask(), Ok("x", Usage(tokens - 10, 10)), cached=cached)


def test_tokens_are_bounded_by_the_worst_case() -> None:
    one = budget(max_tokens_total=1000)
    big = ask("x" * 300, max_tokens=300)  # about 132 + 300 tokens
    assert one.admit([big] * 5) == 2
    answered(one, 2, tokens=100)
    assert one.admit([big] * 5) == 1
    answered(one, 1, tokens=700)
    assert one.admit([big]) == 0
    assert "900 of 1,000 tokens" in str(one.stop())


def test_seconds_are_bounded_from_the_first_request() -> None:
    clock = Clock()
    one = budget(clock, max_seconds=10)
    clock.now += 50
    assert one.stop() is None
    assert one.admit([ask()]) == 1
    clock.now += 10
    assert "10 seconds" in str(one.stop())
    assert one.admit([ask()]) == 0


def test_failures_in_a_row_stop_the_run() -> None:
    one = budget(max_failures=3)
    one.record(ask(), Malformed("{"), cached=False)
    answered(one, 1)
    one.record(ask(), Failed("server", "down"), cached=False)
    assert one.stop() is None
    for _ in range(2):
        one.record(ask(), Failed("bad_request", "It is refused."), cached=False)
    assert "3 calls in a row" in str(one.stop())
    assert "It is refused." in str(one.halt())


def test_a_server_that_is_down_stops_the_run_sooner() -> None:
    never, once = budget(max_failures=9), budget(max_failures=9)
    never.record(ask(), Failed("timeout", "It is late."), cached=False)
    assert never.stop() == "It is late."
    answered(once, 1)
    once.record(ask(), Failed("server", "It is down."), cached=False)
    assert once.stop() is None
    once.record(ask(), Failed("server", "It is down."), cached=False)
    assert once.stop() == "It is down."


def test_the_bound_counts_cache_hits_and_the_bill_does_not() -> None:
    one = budget(max_calls=4, price_prompt=1.0, price_completion=1.0)
    answered(one, 3, cached=True)
    assert one.admit([ask()] * 3) == 1
    answered(one, 1)
    report = one.report()
    assert (report["asked"], report["calls"], report["cache_hits"]) == (4, 1, 3)
    assert (report["prompt_tokens"], report["completion_tokens"], report["paid_tokens"]) == (80, 40, 30)
    assert report["money"] == pytest.approx(30 / 1e6)
    assert report["outcomes"] == {"ok": 4}
