"""The plan of a benchmark's command line: its cells, its LLM budget and its output folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from openbackdoor_badllm.benchmark.cell import Cell, host_of
from openbackdoor_badllm.benchmark.cells import plan_configs, plan_grid
from openbackdoor_badllm.benchmark.figures import Results, table
from openbackdoor_badllm.benchmark.grid import OURS, Grid
from openbackdoor_badllm.benchmark.spending import asks_llm, bound_of
from openbackdoor_badllm.benchmark.tables import to_csv, to_latex, to_markdown
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.folder import as_json, write_changed
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host
from openbackdoor_badllm.training.store import Store


def tables_lock(out: Path) -> FileLock:
    """Held while tables and page are written: a second runner on the folder writes the same files."""
    return FileLock(out / ".tables.lock")


class Plan(NamedTuple):
    """The cells of a benchmark, what they may pay for language models together, and where they go."""

    cells: list[Cell]
    budget: dict[str, Any]
    name: str
    ours: str
    out: Path
    host: Host


def plan_of(options: argparse.Namespace, grid: Grid | None, host: Host) -> Plan:
    """The plan of a command line.

    Raises:
        UserError: a name, a key or a value is wrong, or a cell has no bound for the shared LLM budget.
    """
    budget: dict[str, Any] = {}
    if grid is not None:
        cells = plan_grid(grid, data_root=options.data_root, host=host)
        budget = grid.llm_budget.model_dump(exclude_none=True)
    else:
        cells = plan_configs(
            options.configs,
            options.seeds or [42],
            profile=options.profile or "desk",
            overrides=options.overrides,
            data_root=options.data_root,
            host=host,
        )
    for cell in cells:
        if budget and asks_llm(cell.config):
            bound_of(cell.config, budget)
    name = grid.name if grid else "benchmark"
    out = options.out or Path("runs") / (name if host.name == BUILTIN else f"{name}-{host.name}")
    return Plan(cells, budget, name, grid.ours if grid else OURS, out, host)


def begin(plan: Plan, grid: Grid | None, store: Store) -> None:
    """Makes the folders and writes what will be run.

    Raises:
        ConfigError: a folder cannot be written.
    """
    written = {
        "schema": 1,
        "grid": plan.name,
        "ours": plan.ours,
        "host": host_of(plan.cells),
        "cells": [cell.entry() for cell in plan.cells],
    }
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        store.folder.mkdir(parents=True, exist_ok=True)
        with tables_lock(plan.out):
            if grid is not None:
                text = yaml.safe_dump(grid.to_dict(), sort_keys=False, allow_unicode=True)
                write_changed(plan.out / "grid.yaml", text)
            write_changed(plan.out / "plan.json", as_json(written))
    except OSError as error:
        raise ConfigError(
            f"'{error.filename or plan.out}' cannot be written ({error.strerror}): choose another --out or --cache."
        ) from None


def write_tables(plan: Plan, results: Results) -> dict[str, Any]:
    """All tables anew; called after every cell, so that an interrupted run leaves what it has."""
    with tables_lock(plan.out):
        made = table(plan.cells, plan.out, name=plan.name, ours=plan.ours, results=results)
        write_changed(plan.out / "table.json", as_json(made))
        write_changed(plan.out / "table.md", to_markdown(made))
        write_changed(plan.out / "table.csv", to_csv(made))
        write_changed(plan.out / "table.tex", to_latex(made))
    return made
