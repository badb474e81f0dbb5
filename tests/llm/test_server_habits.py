"""How the servers that people run word their answers and refusals: one row a habit, over real HTTP.

Each row is the shape in which that server speaks (fields, status, where the message stands), what must become of it,
and how many requests it may cost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from openbackdoor_badllm.llm import Failed

from .chat_server import Asked, ChatServer, Reply, say
from .helpers import ANSWER, SCHEMA, ask, open_to

Habit = Reply | Callable[[Asked], Reply]


def error(status: int, message: str, /, *, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    """An error as OpenAI nests it."""
    return Reply(status, {"error": {"message": message, "param": None, **more}}, headers=headers or {})


def bare(code: int, message: str, kind: str) -> Reply:
    """An error as vLLM has it before 0.10: not nested."""
    return Reply(code, {"object": "error", "message": message, "type": kind, "param": None, "code": code})


def unless(refused: Callable[[dict[str, Any]], bool], rejection: Reply) -> Callable[[Asked], Reply]:
    """Answers, but not a body that it refuses."""
    return lambda asked: rejection if refused(asked.body) else say(ANSWER)


def form(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a body asks for one of the structured forms."""
    return lambda body: (body.get("response_format") or {}).get("type") == name


def first(*replies: Reply) -> Callable[[Asked], Reply]:
    """These replies, then an answer."""
    return lambda asked: replies[asked.number] if asked.number < len(replies) else say(ANSWER)


def dressed(message: dict[str, Any], **choice: Any) -> Reply:
    """An answer with the further fields of a server in its message and its choice."""
    reply = say(message.pop("content", ANSWER), **message)
    reply.body["choices"][0].update(choice)
    return reply


SAFE = {"hate": {"filtered": False, "severity": "safe"}}
AZURE_RATE = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 1 second."
)
HABITS: dict[str, tuple[Habit, str, int, str]] = {
    # name: what it does, the ending, requests, what the sentence says
    "ollama: reasoning beside the answer": (dressed({"reasoning": "Hm. {}"}), "ok", 1, ""),
    "ollama: thinks inside the content": (say(f"<think>\nHm. {{\n</think>\n{ANSWER}"), "ok", 1, ""),
    "ollama: model not pulled": (
        error(404, 'model "m" not found, try pulling it first', type="api_error"), "not_found", 1, "llm.model"
    ),
    "ollama: busy": (
        first(error(503, "server busy, please try again.  maximum pending requests exceeded")), "ok", 2, ""
    ),
    "ollama: runner died": (error(500, "llama runner process has terminated: exit status 2"), "server", 5, "runner"),
    "vllm: empty lists and reasoning_content": (
        dressed({"reasoning_content": "Hm.", "tool_calls": []}, stop_reason=None, logprobs=None), "ok", 1, ""
    ),
    "vllm: too long": (
        bare(400, "This model's maximum context length is 4096 tokens. You requested 5000.", "BadRequestError"),
        "bad_request", 1, "maximum context length",
    ),
    "vllm: no such model": (bare(404, "The model `m` does not exist.", "NotFoundError"), "not_found", 1, "llm.model"),
    "vllm: no grammar for this schema": (
        unless(form("json_schema"), bare(400, "Grammar error: Unimplemented keys: additionalProperties", "Bad")),
        "ok", 2, "",
    ),
    "vllm: engine dead": (bare(500, "EngineCore encountered an issue.", "InternalServerError"), "server", 5, "Engine"),
    "lm studio: no json_object": (
        unless(
            lambda body: form("json_object")(body) or form("json_schema")(body),
            Reply(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
        ),
        "ok", 3, "",
    ),
    "lm studio: nothing loaded": (
        error(404, "No models loaded. Please load a model with `lms load`.", code="model_not_found", type="invalid"),
        "not_found", 1, "No models loaded",
    ),
    "lm studio: too long": (
        Reply(400, {"error": "The model is loaded with context length of only 4096 tokens, which is not enough."}),
        "bad_request", 1, "context length",
    ),
    "lm studio: wrong address": (
        Reply(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}), "not_found", 1, "/v1"
    ),
    "azure: filter results beside the answer": (
        dressed({}, content_filter_results=SAFE, finish_reason="stop"), "ok", 1, ""
    ),
    "azure: the answer is filtered": (
        dressed({"content": ""}, finish_reason="content_filter", content_filter_results=SAFE), "filtered", 1, ""
    ),
    "azure: no such deployment": (
        error(404, "The API deployment for this resource does not exist.", code="DeploymentNotFound"),
        "not_found", 1, "deployment",
    ),
    "azure: wrong key": (
        error(401, "Access denied due to invalid subscription key or wrong API endpoint.", code="401"),
        "auth", 1, "llm.api_key_env",
    ),
    "azure: rate": (first(error(429, AZURE_RATE, code="429", headers={"Retry-After": "0"})), "ok", 2, ""),
    "azure: an API version without schemas": (
        unless(
            form("json_schema"),
            error(400, "response_format value as json_schema is enabled only for api versions 2024-08-01-preview"),
        ),
        "ok", 2, "",
    ),
    "azure: max_completion_tokens": (
        unless(
            lambda body: "max_tokens" in body,
            error(400, "Unsupported parameter: 'max_tokens' is not supported with this model.", param="max_tokens"),
        ),
        "ok", 2, "",
    ),
    "openrouter: blank lines before the answer": (
        Reply(body=b"\n         \n\n" + json.dumps(say(ANSWER).body).encode()), "ok", 1, ""
    ),
    "openrouter: reasoning details and cost": (
        dressed({"reasoning": None, "reasoning_details": [{"type": "x"}]}, native_finish_reason="STOP"), "ok", 1, ""
    ),
    "openrouter: no credit": (error(402, "Insufficient credits. Add more.", code=402), "quota", 1, "credits"),
    "openrouter: a day's limit": (
        error(429, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 per day", code=429),
        "quota", 1, "per-day",
    ),
    "openrouter: rate of a provider": (
        first(error(429, "Provider returned error", code=429, metadata={"raw": "m is rate-limited upstream"})),
        "ok", 2, "",
    ),
    "openrouter: nobody takes the parameters": (
        unless(form("json_schema"), error(404, "No endpoints found that handle the requested parameters.", code=404)),
        "ok", 2, "",
    ),
    "openrouter: the input is flagged": (
        error(403, "Input was flagged by moderation", code=403, metadata={"flagged_input": "x"}),
        "filtered", 1, "content filter",
    ),
    "openrouter: an error in the choice": (
        first(Reply(body={"choices": [{"error": {"code": 502, "message": "Provider returned error"}, "message": {}}]})),
        "ok", 2, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HABITS)
def test_what_becomes_of_it(name: str) -> None:
    habit, ending, requests, says = HABITS[name]
    prefix = "" if "wrong address" in name else "/v1"
    with ChatServer(habit, prefix=prefix) as server, open_to(server.base_url) as client:
        (outcome,) = client.complete([ask(json_schema=SCHEMA)])
        assert server.count == requests
    assert (outcome.kind if isinstance(outcome, Failed) else outcome.name) == ending
    assert says in getattr(outcome, "sentence", "")
