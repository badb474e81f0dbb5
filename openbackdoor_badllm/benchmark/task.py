"""A cell as plain JSON for a worker, and the names of the files in a cell's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CELL, MADE, FAILURE, LOCK = "cell.json", "made.json", "failure.json", ".lock"


@dataclass(frozen=True)
class Task:
    """A cell and all that a worker needs to run it.

    Attributes:
        out: the benchmark's output folder, absolute: on several machines a folder that they share.
        folder: of the cell, relative to it.
        cache: where trained victims and answers of language models are kept; None is the default place.
        threads: of the CPU; figures may differ in their last digits between numbers of threads.
        budget: bounds of the benchmark's shared LLM budget (``max_calls``, ``max_tokens_total``, ``max_money``).
        wait: wait for another runner that has the cell in hand, instead of passing it by.
        host: ``builtin`` or ``upstream``.
        openbackdoor: the folder of the real OpenBackdoor, absolute: on several machines one that they share.
    """

    out: str
    folder: str
    entry: dict[str, Any]
    config: dict[str, Any]
    identity: dict[str, Any]
    lines: tuple[str, ...]
    cache: str | None = None
    threads: int = 1
    executor: str = "local"
    budget: dict[str, Any] = field(default_factory=dict)
    wait: bool = False
    host: str = "builtin"
    openbackdoor: str | None = None

    @property
    def path(self) -> Path:
        """The cell's folder."""
        return Path(self.out) / self.folder


def pack(task: Task) -> dict[str, Any]:
    """A task as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(task), default=str))
    return plain
