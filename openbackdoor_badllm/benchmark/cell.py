"""A cell of a benchmark, which is one run, and the names of the files in its folder.

Nothing heavy is imported: a worker's share of the machine is settled before torch is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.records import CLEAN, NONE, ORACLE
from openbackdoor_badllm.evaluation.folder import RESULTS
from openbackdoor_badllm.openbackdoor.host import BUILTIN

CELL, MADE, FAILURE, LOCK = "cell.json", "made.json", "failure.json", ".lock"
DONE, FAILED, TO_RUN, ELSEWHERE, HELD_BACK = "done", "failed", "to run", "elsewhere", "held back"


@dataclass(frozen=True)
class Cell:
    """One run folder of a benchmark.

    Attributes:
        kind: ``references``, ``defender`` or ``whole``; see :mod:`openbackdoor_badllm.benchmark`.
        folder: relative to the output folder.
        config: as resolved, ready for an experiment.
        identity: what defines it, and what its ``config.json`` holds.
        lines: which lines it measures: ``undefended``, ``defended``, ``references``.
        references: folder of the cell with the references of its pair and seed.
    """

    kind: str
    folder: str
    dataset: str
    attack: str
    rate: float
    setting: str
    victim: str
    defender: str | None
    seed: int
    profile: str
    config: dict[str, Any] = field(repr=False)
    identity: dict[str, Any] = field(repr=False)
    lines: tuple[str, ...] = ()
    references: str | None = None

    @property
    def title(self) -> str:
        """For people."""
        what = self.defender or ("references" if self.kind == "references" else "none")
        return f"{self.dataset} {self.attack} {100 * self.rate:g}% {self.setting}: {what}, seed {self.seed}"

    @property
    def defenders(self) -> list[str]:
        """The defenders of a table that it has a line for."""
        names = [NONE] if "undefended" in self.lines else []
        names += [self.defender] if self.defender and "defended" in self.lines else []
        return names + ([ORACLE, CLEAN] if "references" in self.lines else [])

    @property
    def host(self) -> dict[str, str]:
        """The host that it runs on: ``name`` and ``revision``, the commit of the real OpenBackdoor."""
        return {"name": self.identity.get("host", BUILTIN), "revision": self.identity.get("host_revision", "")}

    def entry(self) -> dict[str, Any]:
        """Its entry in ``plan.json``."""
        keys = ("folder", "kind", "references", "dataset", "attack", "rate", "setting", "victim", "defender", "seed",
                "profile")  # fmt: skip
        return {**{key: getattr(self, key) for key in keys}, "host": self.host["name"]}

    def done(self, out: Path) -> bool:
        """Whether it came to its end."""
        return (out / self.folder / RESULTS).is_file()

    def failure(self, out: Path) -> str | None:
        """The sentence that says why it failed; None where it did not."""
        if self.done(out):
            return None
        try:
            told = json.loads((out / self.folder / FAILURE).read_text(encoding="utf-8"))
            return str(told["sentence"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def state(self, out: Path) -> str:
        """``done``, ``failed`` or ``to run``, as its folder says."""
        return DONE if self.done(out) else TO_RUN if self.failure(out) is None else FAILED


def host_of(cells: Sequence[Cell]) -> dict[str, str]:
    """The host of a benchmark, which all its cells run on; see :attr:`Cell.host`."""
    return cells[0].host if cells else {"name": BUILTIN, "revision": ""}


@dataclass(frozen=True)
class Settings:
    """What all cells of a run have in common, and a worker needs to know.

    Attributes:
        out: the benchmark's output folder, absolute: on several machines a folder that they share.
        cache: where trained victims and answers of language models are kept; None is the default place.
        threads: of the CPU; figures may differ in their last digits between numbers of threads.
        executor: its name, for ``made.json``.
        budget: bounds of the benchmark's shared LLM budget (``max_calls``, ``max_tokens_total``, ``max_money``).
        wait: wait for another runner that has a cell in hand, instead of passing it by.
        openbackdoor: the folder of the real OpenBackdoor, absolute; see :attr:`.Host.home`.
    """

    out: Path
    cache: Path | None = None
    threads: int = 1
    executor: str = "local"
    budget: dict[str, Any] = field(default_factory=dict)
    wait: bool = False
    openbackdoor: Path | None = None


class Ended(NamedTuple):
    """How a cell ended.

    Attributes:
        state: ``done``, ``failed``, ``held back`` (by the LLM budget) or ``elsewhere`` (another runner has it in hand).
        sentence: why it is not done.
        seconds: what it took now.
    """

    cell: Cell
    state: str
    sentence: str = ""
    seconds: float = 0.0
