"""Context managers around OpenBackdoor's code: seeded generators, no prints, no bars, forwarded log."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import openbackdoor_badllm
from openbackdoor_badllm.training.rng import isolated_rng
from openbackdoor_badllm.training.victims import quiet_transformers


@contextmanager
def at_work(seed: int) -> Iterator[None]:
    """Runs OpenBackdoor's code with seeded global generators, silent; its log goes where this package's log goes.

    Args:
        seed: of Python's, NumPy's and torch's generators inside the block; afterwards they are as they were.
    """
    prints, bars = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
    with isolated_rng(seed), prints, bars, quiet_transformers(), _forwarded_log():
        yield


@contextmanager
def inside(folder: str) -> Iterator[None]:
    """Makes a folder the working directory."""
    before = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _Forward(logging.Handler):
    """Hands records of the root logger, which OpenBackdoor takes for its own, to this package's handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root":
            for handler in logging.getLogger(openbackdoor_badllm.__name__).handlers:
                handler.handle(record)


@contextmanager
def _forwarded_log() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.setLevel(logging.INFO)
    root.handlers[:] = [_Forward()]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
