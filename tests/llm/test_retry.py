from __future__ import annotations

import asyncio
import random
import ssl
from email.utils import formatdate
from typing import Any

import openai
import pytest

from openbackdoor_badllm.llm.retry import (
    AttemptError,
    Course,
    RetryPolicy,
    Verdict,
    classify,
    classify_status,
    retry_after,
)

LATER = Verdict("rate_limit", "rate_limit", "later")
BROKEN = Verdict("transient", "server", "broken")


@pytest.mark.parametrize(
    ("status", "body", "action", "kind"),
    [
        (400, None, "fatal", "bad_request"),
        (401, None, "fatal", "auth"),
        (402, None, "fatal", "quota"),
        (403, None, "fatal", "auth"),
        (404, None, "fatal", "not_found"),
        (408, None, "transient", "server"),
        (413, None, "fatal", "bad_request"),
        (422, None, "fatal", "bad_request"),
        (429, None, "rate_limit", "rate_limit"),
        (429, {"code": "insufficient_quota"}, "fatal", "quota"),
        (429, {"error": {"type": "insufficient_quota"}}, "fatal", "quota"),
        (429, {"message": "You exceeded your current quota for a minute"}, "rate_limit", "rate_limit"),
        (429, {"message": "requests per min (RPM): 3. Add a payment method: /billing"}, "rate_limit", "rate_limit"),
        (429, {"message": "Quota exceeded", "quotaId": "GenerateRequestsPerMinute"}, "rate_limit", "rate_limit"),
        (429, {"message": "tokens per day (TPD): limit 100000, try again in 7 s"}, "fatal", "quota"),
        (429, {"message": "1000 API calls / month used"}, "fatal", "quota"),
        (429, {"message": "You have reached your daily limit"}, "fatal", "quota"),
        (429, {"message": "Your account has no credits left"}, "fatal", "quota"),
        (400, {"message": "Your credit balance is too low"}, "fatal", "quota"),
        (400, {"code": "content_filter", "message": "no"}, "fatal", "filtered"),
        (400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, "fatal", "filtered"),
        (403, {"message": "requires moderation and your input was flagged"}, "fatal", "filtered"),
        (405, None, "fatal", "not_found"),
        (500, "<html>", "transient", "server"),
        (501, None, "fatal", "bad_request"),
        (503, {"message": "busy"}, "transient", "server"),
        (529, None, "transient", "server"),
    ],
)
def test_what_a_status_means(status: int, body: Any, action: str, kind: str) -> None:
    verdict = classify_status(status, body, {})
    assert (verdict.action, verdict.kind) == (action, kind)
    assert str(status) in verdict.sentence
    assert "<" not in verdict.sentence


def test_a_quota_with_a_time_to_come_back_is_a_rate_limit() -> None:
    assert classify_status(429, {"message": "quota"}, {}).kind == "quota"
    assert classify_status(429, {"message": "quota"}, {"retry-after": "3"}).kind == "rate_limit"


def _connection(cause: Exception | None) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=None)  # type: ignore[arg-type]
    error.__cause__ = cause
    return error


def test_what_an_exception_means() -> None:
    refused = classify(_connection(OSError("refused")))
    assert refused is not None
    assert (refused.action, refused.kind) == ("transient", "connection")
    assert "refused" in refused.sentence
    distrusted = classify(_connection(ssl.SSLCertVerificationError("self-signed")))
    assert distrusted is not None
    assert (distrusted.action, distrusted.kind) == ("fatal", "tls")
    for late in (openai.APITimeoutError(request=None), asyncio.TimeoutError()):  # type: ignore[arg-type]
        verdict = classify(late)
        assert verdict is not None
        assert (verdict.action, verdict.kind) == ("transient", "timeout")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "Fri, 99 Foo 2026"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000) == seconds


def _run(course: Course, script: list[Verdict | str]) -> Any:
    turns = iter(script)

    async def attempt() -> str:
        course.attempts += 1
        course.begin()
        turn = next(turns)
        if isinstance(turn, Verdict):
            raise AttemptError(turn)
        return turn

    return asyncio.run(course.run(attempt))


def _course(**policy: Any) -> Course:
    return Course(RetryPolicy(**{"first_wait": 0.001, **policy}), random.Random(0))


def test_failures_are_bounded_and_rate_limits_are_not() -> None:
    course = _course(max_attempts=3)
    with pytest.raises(AttemptError):
        _run(course, [BROKEN] * 9)
    assert course.attempts == 3
    assert "3 attempts" in course.gave_up
    assert _run(_course(max_attempts=3), [LATER._replace(retry_after=0.0)] * 30 + ["yes"]) == "yes"


def test_cancelling_is_not_swallowed() -> None:
    async def scene() -> None:
        course = _course(first_wait=60.0)

        async def attempt() -> str:
            course.begin()
            raise AttemptError(BROKEN)

        task = asyncio.create_task(course.run(attempt))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
