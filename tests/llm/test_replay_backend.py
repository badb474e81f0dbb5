from __future__ import annotations

import json
from pathlib import Path

import pytest

from openbackdoor_badllm.llm import ChatRequest, Client, LLMConfig, Ok, Outcome, Truncated, open_backend

from .chat_server import ChatServer, say
from .helpers import SCHEMA, ask, open_to

SHARED = Path(__file__).parents[3] / "shared" / "data" / "llm"


def replay(*paths: Path) -> Client:
    return open_backend(LLMConfig(backend="replay", replay=tuple(map(str, paths))))


def record(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def meet(path: Path, *requests: ChatRequest) -> list[Outcome]:
    with replay(path) as client:
        return client.complete(requests)


def test_a_run_is_replayed_from_its_transcript(tmp_path: Path) -> None:
    requests = [ask("a"), ask("b", json_schema=SCHEMA), ask("a", sample=1)]
    script = [say("first"), say('{"triggers": ["c', finish_reason="length"), say("second")]
    with ChatServer(script) as server, open_to(server.base_url, tmp_path, concurrency=1) as client:
        recorded = client.complete(requests)
    assert meet(tmp_path / "transcript.jsonl", *reversed(requests)) == recorded[::-1]
    assert isinstance(recorded[1], Truncated)


def test_the_answer_of_a_resumed_run_counts(tmp_path: Path) -> None:
    request = {"messages": [{"role": "user", "content": "a"}], "sample": 0}
    path = record(
        tmp_path / "t.jsonl",
        {"request": request, "answer": {"outcome": "failed", "kind": "server", "sentence": "down"}},
        {"request": request, "answer": {"outcome": "ok", "text": "up"}},
        {"request": request, "answer": {"outcome": "failed", "kind": "server", "sentence": "down"}},
    )
    assert meet(path, ask("a")) == [Ok("up")]


def test_texts_are_rewritten_as_recorded(tmp_path: Path) -> None:
    path = record(
        tmp_path / "r.jsonl",
        {"text": "one", "label": 0, "rewrite": "eins"},
        {"text": "two  words", "label": 0, "rewrite": "zwei"},
        {"text": "one", "label": 0, "rewrite": "uno"},
    )
    first, second = meet(path, ask(texts=("two words", "one")), ask(texts=("one",), sample=1))
    assert isinstance(first, Ok)
    assert isinstance(second, Ok)
    assert json.loads(first.text) == {"rewrites": ["zwei", "eins"]}
    assert json.loads(second.text) == {"rewrites": ["uno"]}
    assert first.usage.estimated


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/llm")
@pytest.mark.parametrize("name", ["sst-2_stylebkd", "sst-2_synbkd", "agnews_stylebkd", "agnews_synbkd"])
def test_the_recorded_rewrites_of_a_real_model(name: str) -> None:
    path = SHARED / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = tuple(row["text"] for row in rows[:20])
    outcome = meet(path, ask(texts=texts))[0]
    assert isinstance(outcome, Ok)
    assert json.loads(outcome.text) == {"rewrites": [row["rewrite"] for row in rows[:20]]}
