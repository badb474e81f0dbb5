"""Clients of large language models: OpenAI-compatible endpoints, local transformers models, recordings.

``open_backend(config)`` gives a :class:`ChatBackend`; ``complete(requests)`` gives typed outcomes.
Between them stand the cache, the budget and the transcript. The backends' libraries (openai, torch,
transformers) are imported when one is opened, not before.
"""

from __future__ import annotations

from pathlib import Path

from openbackdoor_badllm.errors import ConfigError, UserError
from openbackdoor_badllm.llm.budget import Budget, Limits
from openbackdoor_badllm.llm.cache import AnswerCache
from openbackdoor_badllm.llm.client import Client
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.llm.parsing import MalformedJSONError, extract_object, strip_reasoning
from openbackdoor_badllm.llm.provider import Provider
from openbackdoor_badllm.llm.redact import Redactor
from openbackdoor_badllm.llm.transcript import Transcript
from openbackdoor_badllm.llm.types import (
    ChatBackend,
    ChatMessage,
    ChatRequest,
    Empty,
    Failed,
    Filtered,
    Malformed,
    Ok,
    Outcome,
    Refused,
    Truncated,
    Usage,
)

__all__ = [
    "Budget", "ChatBackend", "ChatMessage", "ChatRequest", "Client", "Empty", "Failed", "Filtered", "LLMConfig",
    "Limits", "Malformed", "MalformedJSONError", "Ok", "Outcome", "Refused", "Truncated", "Usage", "extract_object",
    "open_backend", "strip_reasoning",
]  # fmt: skip

CACHE_NAME = "llm.sqlite"


def open_backend(
    config: LLMConfig,
    *,
    cache_dir: Path | None = None,
    transcript_path: Path | None = None,
    budget: Budget | None = None,
) -> Client:
    """Opens the language model that a config names.

    Nothing is sent yet. Close it when done, or use it in a ``with`` statement.

    Args:
        config: the ``"llm"`` block.
        cache_dir: folder of the cache file, where the config names no file; None keeps answers in memory.
        transcript_path: where the transcript goes, where the config names no file; None writes none.
        budget: what may be spent; None makes one from the config.

    Returns:
        A :class:`ChatBackend` that also gives an ``estimate`` and has the ``budget``.

    Raises:
        ConfigError: the key, the model or the recording cannot be had, or the backend is "offline",
            which asks no language model.
        UserError: a library is missing; the message holds the ``pip install`` line.
    """
    provider, redactor = _open_provider(config)
    cache_path = Path(config.cache).expanduser() if config.cache else cache_dir and cache_dir / CACHE_NAME
    written = Path(config.transcript).expanduser() if config.transcript else transcript_path
    return Client(
        provider,
        AnswerCache(cache_path if provider.cacheable else None),
        budget or Budget.from_config(config),
        Transcript(written, redactor, model=config.model),
        max_tokens=config.max_tokens,
        temperature=config.temperature,
    )


def _open_provider(config: LLMConfig) -> tuple[Provider, Redactor]:
    # Imports stand here so that a run pays for the one library that it uses: torch alone takes seconds.
    try:
        if config.backend == "openai":
            from openbackdoor_badllm.llm.openai_backend import OpenAIProvider

            endpoint = OpenAIProvider.open(config)
            return endpoint, endpoint.redactor
        if config.backend == "transformers":
            from openbackdoor_badllm.llm.transformers_backend import TransformersProvider

            return TransformersProvider(config), Redactor()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("openbackdoor_badllm"):
            raise
        raise UserError(
            f"The llm backend \"{config.backend}\" needs the package '{error.name}', which is not installed: "
            f"run  pip install {error.name}."
        ) from None
    if config.backend == "replay":
        from openbackdoor_badllm.llm.replay_backend import ReplayProvider

        return ReplayProvider([Path(path).expanduser() for path in config.replay]), Redactor()
    raise ConfigError(
        'llm.backend is "offline", which asks no language model: choose openai, transformers or replay to open one.'
    )
