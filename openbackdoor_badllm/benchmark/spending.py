"""The LLM budget that all cells of a benchmark share, also across processes.

A cell starts only where its own bounds fit into what is left, so the sum of all cells keeps the bound even if each
spends all it may. What was spent is read from the cells' transcripts, which also have what a killed run paid; what a
cell that is running may yet spend is written down in ``llm-reserved.json`` and dropped when it ends. Bounds count
answers that were paid for: those that the shared cache gives are free.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from openbackdoor_badllm.benchmark.cell import LOCK, Cell, Settings
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import TRANSCRIPT, as_json, write_whole

RESERVED = "llm-reserved.json"
BOUNDS = ("max_calls", "max_tokens_total", "max_money")


class Spent(NamedTuple):
    """What was paid for, or may be."""

    calls: float = 0
    tokens: float = 0
    money: float = 0


def total(parts: Iterable[Spent]) -> Spent:
    """The sum."""
    return Spent(*(sum(amounts) for amounts in zip(Spent(), *parts, strict=True)))


def asks_llm(config: Mapping[str, Any]) -> bool:
    """Whether a run with this config asks a language model."""
    defender = config.get("defender") or {}
    llm = defender.get("llm") or {}
    strategy = (defender.get("search") or {}).get("strategy")
    return llm.get("backend", "offline") != "offline" and strategy != "random"


def bound_of(config: Mapping[str, Any], budget: Mapping[str, Any]) -> Spent:
    """The most that a cell may spend, as far as the shared budget asks.

    Raises:
        ConfigError: the cell has no bound of a kind that the shared budget has.
    """
    from openbackdoor_badllm.llm.config import LLMConfig
    from openbackdoor_badllm.section import read

    llm = read(LLMConfig, (config.get("defender") or {}).get("llm") or {}, "defender.llm")
    most = []
    for key in BOUNDS:
        own = getattr(llm, key)
        if budget.get(key) is not None and own is None:
            raise ConfigError(
                f"'llm_budget.{key}' bounds all cells together, so each needs a bound of its own: set "
                f"'defenders.<name>.llm.{key}'."
            )
        most.append(own or 0)
    return Spent(*most)


@contextmanager
def reserved(cell: Cell, settings: Settings) -> Iterator[str | None]:
    """Reserves what a cell may spend, as long as it runs.

    Yields:
        None where it may start; else the sentence that says why not.
    """
    bounds, out = settings.budget, settings.out
    if not bounds or not asks_llm(cell.config):
        yield None
        return
    with _ledger(out) as entries:
        for folder in [name for name in entries if name != cell.folder and not _running(out / name)]:
            del entries[folder]  # its process died; what it paid for stands in its transcript
        used = total([spent(out), *(Spent(*entry) for entry in entries.values())])
        wanted = bound_of(cell.config, bounds)
        refusal = _refusal(used, wanted, bounds)
        if refusal is None:
            # What it paid before and what it may pay now: its transcript grows while the reservation stands.
            entries[cell.folder] = list(wanted)
    try:
        yield refusal
    finally:
        if refusal is None:
            with _ledger(out) as entries:
                entries.pop(cell.folder, None)


def spent(out: Path) -> Spent:
    """What all cells paid for, killed runs included."""
    return total(paid(file) for file in sorted((out / "cells").glob(f"*/{TRANSCRIPT}")))


def paid(transcript: Path) -> Spent:
    """What one cell paid for."""
    calls = prompt = completion = 0
    try:
        lines = transcript.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return Spent()
    for line in lines:
        try:
            note = json.loads(line)
            if note["cache_hit"] or not note["attempts"]:
                continue
            usage = note["answer"].get("usage") or {}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # half a line, left by a kill
        calls += 1
        prompt += int(usage.get("prompt_tokens", 0))
        completion += int(usage.get("completion_tokens", 0))
    return Spent(calls, prompt + completion, _money(transcript.parent, prompt, completion))


def _money(folder: Path, prompt: int, completion: int) -> float:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        llm = config["defender"]["llm"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return (prompt * (llm.get("price_prompt") or 0) + completion * (llm.get("price_completion") or 0)) / 1e6


def _refusal(used: Spent, wanted: Spent, bounds: Mapping[str, Any]) -> str | None:
    for key, have, more in zip(BOUNDS, used, wanted, strict=True):
        if key in bounds and have + more > bounds[key]:
            return (
                f"Not started: its own bound ({more:g}) does not fit into what is left of llm_budget.{key} "
                f"({have:g} of {bounds[key]:g} spent or reserved)."
            )
    return None


def _running(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def _ledger(out: Path) -> Iterator[dict[str, list[float]]]:
    file = out / RESERVED
    with FileLock(out / ".llm-reserved.lock"):
        try:
            entries = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            entries = {}
        before = json.dumps(entries)
        yield entries
        if json.dumps(entries) != before:
            write_whole(file, as_json(entries))
