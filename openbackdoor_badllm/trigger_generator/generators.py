"""Which generator a config means, opened and closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openbackdoor_badllm.llm import Budget, ChatBackend, LLMConfig, open_backend
from openbackdoor_badllm.settings import SearchConfig
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
from openbackdoor_badllm.trigger_generator.prompt_builder import Questions
from openbackdoor_badllm.trigger_generator.proposals import Generator, OfflineGenerator, RandomGenerator


@contextmanager
def open_generator(
    llm: LLMConfig,
    search: SearchConfig,
    *,
    seed: int,
    cache_dir: Path | None = None,
    transcript_path: Path | None = None,
) -> Iterator[Generator]:
    """The generator of a config; its connections are closed afterwards.

    Args:
        llm: the section ``defender.llm``.
        search: the section ``defender.search``.
        seed: seed of what is drawn.
        cache_dir: folder of the cache of answers.
        transcript_path: where the dialogue is written down.

    Raises:
        ConfigError: the model, the key or the recording cannot be had.
        UserError: a library is missing.
    """
    if search.strategy == "random":
        yield RandomGenerator(search.candidates_per_call, search.patience, seed)
    elif llm.backend == "offline":
        yield OfflineGenerator(search.candidates, search.min_rows)
    else:
        with open_backend(llm, cache_dir=cache_dir, transcript_path=transcript_path) as client:
            yield llm_generator(client, client.budget, llm, search)


def llm_generator(backend: ChatBackend, budget: Budget, llm: LLMConfig, search: SearchConfig) -> LLMGenerator:
    """The generator over an open backend."""
    paths = [Path(path).expanduser() for path in llm.replay] if llm.backend == "replay" else []
    recorded = {text for path in paths for text in recorded_texts(path)}
    return LLMGenerator(
        backend,
        budget,
        name=f"{llm.backend} {llm.model}".strip() if llm.backend != "replay" else "replay",
        questions=questions_of(search),
        patience=search.patience if search.strategy == "pool" else search.iterations,
        required=llm.required,
        recorded=recorded or None,
        recorded_as=", ".join(path.name for path in paths),
    )


def questions_of(search: SearchConfig) -> Questions:
    """How a search asks a model for candidates."""
    paper = search.strategy == "paper"
    return Questions(1 if paper else search.candidates_per_call, paper, search.feedback, search.rewrites)


def recorded_texts(path: Path) -> list[str]:
    """The texts of which a recording holds a bare rewrite; a transcript holds none."""
    texts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            item = json.loads(line)
        except ValueError:
            continue  # a torn last line; the replay backend has logged it
        if isinstance(item, dict) and "rewrite" in item and isinstance(item.get("text"), str):
            texts.append(item["text"])
    return texts
