"""Runs the same job again and again, each time in a child that a test may kill.

Reads lines from standard input: "run" forks a child and prints its process id. The libraries are loaded
once, before the first fork.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import openai  # noqa: F401 - loaded here, so that a child starts at once

from openbackdoor_badllm.llm import ChatMessage, ChatRequest, LLMConfig, open_backend
from openbackdoor_badllm.llm import openai_backend as _loaded  # noqa: F401


def job(base_url: str, folder: Path, calls: int) -> None:
    """Asks ``calls`` questions and writes the answers into a file."""
    config = LLMConfig(
        backend="openai", model="scripted", base_url=base_url, api_key_env="MY_KEY", concurrency=4, max_calls=calls
    )
    with open_backend(config, cache_dir=folder, transcript_path=folder / "t.jsonl") as client:
        questions = [ChatRequest((ChatMessage("user", f"question {number}"),)) for number in range(calls)]
        outcomes = client.complete(questions)
        lines = [getattr(outcome, "text", repr(outcome)) for outcome in outcomes]
        lines.append(f"asked {client.budget.report()['asked']}, calls {client.budget.report()['calls']}")
    (folder / "result.txt").write_text("\n".join(lines))


def main() -> None:
    """Forks a child a line."""
    logging.basicConfig(level=logging.INFO)
    base_url, folder, calls = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            job(base_url, folder, calls)
            sys.stdout.flush()
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
