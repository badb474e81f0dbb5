"""Short ways to ask, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openbackdoor_badllm.llm import ChatMessage, ChatRequest, Client, LLMConfig, Outcome, open_backend

SCHEMA: dict[str, Any] = {
    "type": "object", "properties": {"triggers": {"type": "array", "items": {"type": "string"}}},
    "required": ["triggers"], "additionalProperties": False,
}  # fmt: skip
ANSWER = '{"triggers": ["cf", "mn"]}'


def ask(text: str = "hello", **fields: Any) -> ChatRequest:
    """A request with one message of the user."""
    return ChatRequest((ChatMessage("user", text),), **fields)


def config(base_url: str, **fields: Any) -> LLMConfig:
    """A config for a server on loopback, with waits that suit a test."""
    quick: dict[str, Any] = {"retry_wait": 0.01, "timeout": 5.0, "deadline": 20.0, "max_calls": 1000}
    return LLMConfig(**{"backend": "openai", "model": "scripted", "base_url": base_url, **quick, **fields})


def open_to(base_url: str, folder: Path | None = None, **fields: Any) -> Client:
    """A client; with a folder it keeps its cache and its transcript there."""
    transcript = None if folder is None else folder / "transcript.jsonl"
    return open_backend(config(base_url, **fields), cache_dir=folder, transcript_path=transcript)


def one(base_url: str, request: ChatRequest | None = None, **fields: Any) -> Outcome:
    """The outcome of a single request to a fresh client."""
    with open_to(base_url, **fields) as client:
        return client.complete([request or ask()])[0]
