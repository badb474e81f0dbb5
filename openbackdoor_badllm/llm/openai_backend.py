"""Any OpenAI-compatible chat endpoint: OpenAI, vLLM, llama.cpp, Ollama, ``transformers serve``.

The calls run on an event loop in a thread of its own, so that the door to it is synchronous, works
inside a notebook, and answers Ctrl-C at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import openai

from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.llm.dialect import Dialect
from openbackdoor_badllm.llm.keys import is_loopback, read_key
from openbackdoor_badllm.llm.provider import Answer, Halted, OnAnswer
from openbackdoor_badllm.llm.redact import Redactor, guard_loggers
from openbackdoor_badllm.llm.reply import Completion, judge, read_body
from openbackdoor_badllm.llm.retry import AttemptError, Course, RetryPolicy, Verdict, classify
from openbackdoor_badllm.llm.types import ChatRequest, Failed, Filtered, Outcome

logger = logging.getLogger(__name__)

_LIBRARY_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_SETTLE_SECONDS = 2.0
MOST_FORMS = 6
"""Forms of one attempt that a server may refuse."""
_ABOUT_THE_ADDRESS = frozenset({"connection", "tls", "timeout", "not_found"})
_TOO_LATE = "The server limits the rate of requests, and this one's turn did not come in time (llm.deadline)."


_UNVERSIONED = re.compile(r"(?!.*/v\d)")


class OpenAIProvider:
    """Asks an endpoint over HTTP.

    Args:
        config: model, address, concurrency, timeouts.
        key: the API key, or None for a server that needs none.
        redactor: knows the key, and cuts it from all that comes back.
    """

    cacheable = True

    def __init__(self, config: LLMConfig, key: str | None, redactor: Redactor) -> None:
        self._config = config
        self._redactor = redactor
        self._policy = RetryPolicy(config.max_attempts, config.deadline, config.retry_wait)
        start = Dialect() if config.json_mode == "auto" else Dialect(format=config.json_mode)
        self._dialect = start
        self._accepted: set[tuple[str, str]] = set()
        self._random = random.Random()
        self._not_before = 0.0
        self._release_loggers = guard_loggers(redactor, _LIBRARY_LOGGERS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="badllm-openai", daemon=True)
        self._thread.start()
        self._client = openai.AsyncOpenAI(
            api_key=key or "no-key",
            base_url=config.base_url,
            max_retries=0,
            timeout=openai.Timeout(config.timeout, connect=min(config.connect_timeout, config.timeout)),
            # A proxy of the environment cannot reach a server on this machine.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not is_loopback(config.base_url)),
        )
        self._endpoint = self._client.chat.completions.with_raw_response
        self._slots = asyncio.Semaphore(config.concurrency)
        # Begun and not ended, sleeping ones included: a dead server is met by these few, not by all.
        self._begun = asyncio.Semaphore(2 * config.concurrency)

    @classmethod
    def open(cls, config: LLMConfig) -> OpenAIProvider:
        """A provider with the key from the environment variable that the config names.

        Raises:
            ConfigError: the key is missing or cannot be one.
        """
        key = read_key(config.api_key_env, config.base_url)
        return cls(config, key, Redactor([key] if key else []))

    @property
    def redactor(self) -> Redactor:
        """What cuts the key from a text."""
        return self._redactor

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
        """See :class:`~.provider.Provider`; ``on_answer`` is called in the thread of the event loop."""
        settled = threading.Event()
        work = self._ask_all(requests, on_answer, halted, settled)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result()
        finally:
            if not future.done():  # Ctrl-C: what is in flight is given up, what was answered is stored
                future.cancel()
                settled.wait(_SETTLE_SECONDS)

    def identity(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`."""
        config = self._config
        return {
            "backend": "openai",
            "model": config.model,
            "base_url": config.base_url,
            "top_p": config.top_p,
            "seed": config.seed,
            "extra_body": config.extra_body,
        }

    def describe(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`; "dialect" is what the server was found to take."""
        identity = self.identity()
        return {**identity, "api_key_env": self._config.api_key_env, "dialect": asdict(self._dialect)}

    def close(self) -> None:
        """See :class:`~.provider.Provider`."""
        if self._loop.is_closed():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(_SETTLE_SECONDS)
        except concurrent.futures.TimeoutError:
            logger.debug("the connections did not close in time")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SETTLE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()
        self._release_loggers()

    async def _ask_all(
        self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted, settled: threading.Event
    ) -> None:
        async def one(index: int, request: ChatRequest) -> None:
            async with self._begun:
                await self._answer(request, halted, lambda answer: on_answer(index, answer))

        tasks = [asyncio.create_task(one(index, request)) for index, request in enumerate(requests)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            settled.set()

    async def _answer(self, request: ChatRequest, halted: Halted, hand_over: Callable[[Answer], None]) -> None:
        course = Course(self._policy, self._random)

        async def attempt() -> None:
            # Only the attempt holds a slot; the sleep before the next one does not.
            async with self._slot():
                stop = halted()
                if stop is not None:
                    answer = Answer(stop, 0.0, course.attempts, self._clean(course))
                else:
                    course.begin()
                    if course.left() <= 0:
                        raise AttemptError(Verdict("fatal", "rate_limit", _TOO_LATE))
                    begun = time.monotonic()
                    completion = await self._send(request, course)
                    outcome, latency = judge(completion, request), time.monotonic() - begun
                    answer = Answer(outcome, latency, course.attempts, self._clean(course), completion.reasoning)
                # Before the slot is free: the next request would delay the storing of this answer.
                hand_over(answer)

        try:
            await course.run(attempt)
        except AttemptError as trouble:
            outcome = self._outcome(trouble.verdict, course)
            hand_over(Answer(outcome, 0.0, course.attempts, self._clean(course)))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """A place among the requests in flight, not before the time that a 429 named for all."""
        while True:
            await self._slots.acquire()
            wait = self._not_before - time.monotonic()
            if wait <= 0:
                break
            self._slots.release()
            await asyncio.sleep(wait + self._random.uniform(0, 0.02))
        try:
            yield
        finally:
            self._slots.release()

    async def _send(self, request: ChatRequest, course: Course) -> Completion:
        """One attempt, with as many forms of the request as the server makes us try.

        Raises:
            AttemptError: it failed.
        """
        for _ in range(MOST_FORMS):
            course.attempts += 1
            dialect = course.dialect or self._dialect
            body = dialect.body(request, self._options(request))
            try:
                completion = await asyncio.wait_for(
                    self._post(body), max(0.001, min(self._config.timeout, course.left()))
                )
            except (openai.APIError, asyncio.TimeoutError, AttemptError) as error:
                verdict = self._verdict(error)
                course.dialect = self._simpler(dialect, verdict, body, request, course)
                if course.dialect != dialect and verdict.action == "fatal":
                    continue
                self._hold_back(verdict)
                raise AttemptError(verdict) from None
            if dialect != self._dialect:
                logger.info("The server takes requests in this form: %s.", dialect)
                self._dialect = dialect
            self._accepted.add((dialect.format, _digest(request)))
            return completion
        raise AttemptError(verdict)

    def _options(self, request: ChatRequest) -> dict[str, Any]:
        """What the config adds to every request."""
        options = dict(self._config.extra_body)
        if self._config.top_p is not None:
            options["top_p"] = self._config.top_p
        if self._config.seed is not None:
            options["seed"] = self._config.seed + request.sample
        return options

    async def _post(self, body: dict[str, Any]) -> Completion:
        # All of it as extra_body, messages too: the SDK would walk through typed ones key by key.
        response = await self._endpoint.create(model=self._config.model, messages=[], extra_body=body)
        # The server may repeat what it was sent, headers included: the key goes first of all.
        return read_body(self._redactor.exact(response.http_response.text))

    def _verdict(self, error: BaseException) -> Verdict:
        """What an error means; one in place of the first answer means that the address is no API."""
        verdict = error.verdict if isinstance(error, AttemptError) else classify(error)
        if verdict is None:
            raise error
        foreign = verdict.status == 0 and verdict.kind in ("server", "protocol") and not self._accepted
        if foreign and _UNVERSIONED.match(urlsplit(self._config.base_url).path):
            return verdict._replace(action="fatal", kind="not_found")
        return verdict

    def _simpler(
        self, dialect: Dialect, verdict: Verdict, body: Mapping[str, Any], request: ChatRequest, course: Course
    ) -> Dialect:
        """The form of the next attempt; a form in which a request fails twice without a word is left as well."""
        accepted = (dialect.format, _digest(request)) in self._accepted
        status = verdict.status
        if verdict.action == "transient" and not accepted and course.failed % 2:
            status = 500
        if status is None or verdict.kind in ("filtered", "quota", "auth", "rate_limit"):
            return dialect
        structured = request.json_schema is not None
        simpler = dialect.after_rejection(status, verdict.said, body.keys(), structured=structured, accepted=accepted)
        if simpler is not None and len(simpler.dropped) > len(dialect.dropped):
            logger.warning("The server refuses %s, which is left out.", ", ".join(simpler.dropped))
        return simpler or dialect

    def _hold_back(self, verdict: Verdict) -> None:
        """Lets everybody wait when the server has told one of them how long."""
        if verdict.action == "rate_limit" and verdict.retry_after is not None:
            until = time.monotonic() + min(verdict.retry_after, self._config.deadline)
            self._not_before = max(self._not_before, until)

    def _outcome(self, verdict: Verdict, course: Course) -> Outcome:
        """What went wrong, where, and after how many attempts; without the key."""
        parts = [self._redactor(verdict.sentence).rstrip(".")]
        if verdict.kind == "filtered":
            return Filtered(f"{parts[0]}.")
        url = self._config.base_url
        if verdict.kind in _ABOUT_THE_ADDRESS:
            parts.append(f"llm.base_url is {url}")
        if verdict.kind == "not_found" and _UNVERSIONED.match(urlsplit(url).path):
            parts.append(f"most addresses end in /v1: try {url}/v1")
        if course.gave_up:
            parts.append(course.gave_up)
        return Failed("quota" if course.lasts(verdict) else verdict.kind, "; ".join(parts) + ".")

    def _clean(self, course: Course) -> tuple[Any, ...]:
        return tuple(retry._replace(sentence=self._redactor(retry.sentence)) for retry in course.retries)


def _digest(request: ChatRequest) -> str:
    return json.dumps(request.json_schema, sort_keys=True)
