"""The client around a provider of its own making."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.llm import Budget, ChatRequest, Client, Failed, Limits, Ok, Truncated, Usage
from openbackdoor_badllm.llm.cache import AnswerCache
from openbackdoor_badllm.llm.provider import Answer, Halted, OnAnswer
from openbackdoor_badllm.llm.redact import Redactor
from openbackdoor_badllm.llm.transcript import Transcript

from .helpers import ask


class Echo:
    """Answers in reverse order with what it was asked; keeps count."""

    cacheable = True

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.closed = 0

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
        self.rounds.append([request.messages[-1].content for request in requests])
        for index in reversed(range(len(requests))):
            stop = halted()
            text = requests[index].messages[-1].content
            good = Truncated(text) if text == "long" else Ok(text.upper(), Usage(50, 10))
            on_answer(index, Answer(stop or good))

    def identity(self) -> dict[str, Any]:
        return {"model": "echo"}

    def describe(self) -> dict[str, Any]:
        return {"backend": "echo"}

    def close(self) -> None:
        self.closed += 1


def client(provider: Echo, path: Path | None = None, transcript: Path | None = None, **limits: Any) -> Client:
    return Client(
        provider,
        AnswerCache(path),
        Budget(Limits(**limits)),
        Transcript(transcript, Redactor()),
        max_tokens=100,
        temperature=0.5,
    )


def test_answers_come_in_the_order_of_the_questions() -> None:
    outcomes = client(Echo()).complete([ask("a"), ask("b"), ask("c")])
    assert [outcome.text for outcome in outcomes] == ["A", "B", "C"]  # type: ignore[union-attr]
    assert client(Echo()).complete([]) == []


def test_equal_questions_are_asked_once_and_samples_are_not_equal() -> None:
    provider = Echo()
    outcomes = client(provider).complete([ask("a"), ask("a"), ask("a", sample=1), ask("a", purpose="p")])
    assert provider.rounds == [["a", "a"]]
    assert len(outcomes) == 4


def test_the_cache_answers_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "llm.sqlite"
    first, second = Echo(), Echo()
    with client(first, path) as one:
        before = one.complete([ask("a"), ask("long"), ask("b")])
    with client(second, path, tmp_path / "t.jsonl") as other:
        assert other.complete([ask("a"), ask("long"), ask("b")]) == before
        report = other.budget.report()
    assert second.rounds == [["long"]]  # only full answers are kept
    assert (report["asked"], report["calls"], report["cache_hits"]) == (3, 1, 2)
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["cache_hit"] for line in lines] == [True, True, False]
    assert (first.closed, second.closed) == (1, 1)


def test_an_answer_is_in_the_file_before_anybody_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "llm.sqlite"

    class Breaking(Echo):
        def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
            on_answer(0, Answer(Ok("A")))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client(Breaking(), path).complete([ask("a"), ask("b")])
    provider = Echo()
    client(provider, path).complete([ask("a"), ask("b")])
    assert provider.rounds == [["b"]]


def test_what_the_budget_does_not_admit_comes_back_unsent() -> None:
    provider = Echo()
    one = client(provider, max_calls=2)
    outcomes = one.complete([ask(letter) for letter in "abcd"])
    assert [outcome.name for outcome in outcomes] == ["ok", "ok", "failed", "failed"]
    assert isinstance(outcomes[3], Failed)
    assert outcomes[3].kind == "budget"
    assert "all 2 calls" in outcomes[3].sentence
    assert provider.rounds == [["a", "b"]]
    assert one.budget.report()["unsent"] == 2


def test_failures_in_a_row_end_a_round_early() -> None:
    class Down(Echo):
        def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
            for index in range(len(requests)):
                on_answer(index, Answer(halted() or Failed("bad_request", "It is refused.")))

    one = client(Down(), max_failures=3)
    outcomes = one.complete([ask(str(number)) for number in range(6)])
    kinds = [outcome.kind for outcome in outcomes if isinstance(outcome, Failed)]
    assert kinds == ["bad_request"] * 3 + ["budget"] * 3
    assert "3 calls in a row" in outcomes[5].sentence  # type: ignore[union-attr]
