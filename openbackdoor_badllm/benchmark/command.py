"""The command line of ``run_benchmark.py`` and of ``badllmtg benchmark``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from openbackdoor_badllm.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ConfigError,
    UserError,
)
from openbackdoor_badllm.evaluation.console import ConsoleProgress, printable
from openbackdoor_badllm.openbackdoor.host_options import add_host, take_host

if TYPE_CHECKING:
    from openbackdoor_badllm.benchmark.cell import Cell
    from openbackdoor_badllm.benchmark.figures import Results
    from openbackdoor_badllm.benchmark.grid import Grid
    from openbackdoor_badllm.benchmark.planned import Plan
    from openbackdoor_badllm.openbackdoor.host import Host
    from openbackdoor_badllm.training.store import Store

EXIT_CODES = "exit codes: 0 done; 1 a cell failed; 2 bad input, told in one sentence; 130 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """The script ``run_benchmark.py``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="run_benchmark.py",
        description="Runs a grid (YAML), or JSON configs side by side, and writes table.md, .csv, .tex and .json.",
        epilog=EXIT_CODES,
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    complaints = Console(stderr=True)
    try:
        return run(options)
    except UserError as error:
        told = printable(str(error))
        complaints.print(f"run_benchmark: {told}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complaints.print("run_benchmark: interrupted. The same command goes on with what is missing.", highlight=False)
        return EXIT_INTERRUPTED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a benchmark."""
    parser.add_argument("configs", type=Path, nargs="+", metavar="GRID", help="a grid in YAML, or JSON configs")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change a key of the grid (seeds=[1,2], defenders.badllmtg.repair=paper) or, with JSON configs, of each "
        "config; may be repeated",
    )
    parser.add_argument("--profile", help="smoke, desk or full (default: the grid's; desk with JSON configs)")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="one run each (default: the grid's; 42)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder with datasets/ and poison_data/")
    add_host(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="output folder (default runs/<grid>, runs/benchmark; with -upstream on the real OpenBackdoor)",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where trained victims are kept between runs")
    parser.add_argument("--jobs", type=int, metavar="N", help="cells at a time (default: one for each GPU, else one)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of each (default: the cores, divided)")
    parser.add_argument("--executor", default="local", help="local (default), ray or slurm")
    parser.add_argument(
        "--slurm", action="append", default=[], metavar="KEY=VALUE",
        help="for --executor slurm: an option of submitit, such as slurm_partition=gpu or timeout_min=600; "
        "cluster=local runs without Slurm",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print the estimate")
    parser.add_argument("--list", action="store_true", help="only list the cells, and which are done")
    parser.add_argument(
        "--tables-only", action="store_true", help="run nothing: tables, page and --publish from what is done so far"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed")
    parser.add_argument("--no-probe", action="store_true", help="leave the estimate of hours out")
    parser.add_argument(
        "--publish", type=Path, metavar="DIR", help="also write table.json and README.md, all that is small, to DIR"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="with --publish: write what it comes to into FILE (docs/benchmark.md)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Plans, estimates and runs; returns the exit code.

    Raises:
        UserError: bad input.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _check(options)
    grid = _grid(options)
    # Imported here: torch and transformers take seconds, and a misspelt name should not wait for them.
    from openbackdoor_badllm.benchmark.figures import Results
    from openbackdoor_badllm.benchmark.pages import write_page
    from openbackdoor_badllm.benchmark.planned import begin, plan_of, write_tables
    from openbackdoor_badllm.benchmark.runner import missing
    from openbackdoor_badllm.benchmark.tables import to_markdown
    from openbackdoor_badllm.training.store import Store

    complaints = Console(stderr=True)
    host = take_host(options, complaints)
    plan = plan_of(options, grid, host)
    wanted = missing(plan.cells, plan.out, retry_failed=options.retry_failed)
    if options.list:
        for cell in plan.cells:
            line = f"{cell.state(plan.out):7} {cell.folder}  {cell.title}"
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
        return EXIT_OK
    store = Store(options.cache)
    if options.tables_only:
        wanted = []
    if wanted:
        _estimate(options, wanted, plan.out, store, host, complaints)
    if options.dry_run:
        return EXIT_OK
    begin(plan, grid, store)
    results = Results(plan.out)
    made = write_tables(plan, results)
    if wanted:
        made = _run_cells(options, plan, wanted, results, complaints)
    if options.publish is not None:
        from openbackdoor_badllm.benchmark.publish import publish

        publish(made, options.publish, options.page)
    page = write_page(plan.out)
    Console().print(to_markdown(made), markup=False, highlight=False, soft_wrap=True)
    if not wanted:
        complaints.print("Nothing was run: no training, no call of a language model.", highlight=False)
    complaints.print(page, markup=False, highlight=False, soft_wrap=True)
    left = [cell for cell in plan.cells if not cell.done(plan.out)]
    if left:
        failed = [cell for cell in left if cell.failure(plan.out) is not None]
        complaints.print(
            f"{len(plan.cells) - len(left)} of {len(plan.cells)} cells are done, {len(failed)} failed; --retry-failed "
            "runs those again. Why stands in the table and in each cell's failure.json.",
            highlight=False, soft_wrap=True,
        )
    return EXIT_FAILURE if left and not options.tables_only else EXIT_OK


def _check(options: argparse.Namespace) -> None:
    from openbackdoor_badllm.benchmark.executors import NAMES
    from openbackdoor_badllm.reading import at_least, one_of

    one_of("--executor", options.executor, NAMES)
    if options.page is not None and options.publish is None:
        raise ConfigError("--page needs --publish: name the folder for the tables, too.")
    if options.page is not None:
        from openbackdoor_badllm.benchmark.publish import check_page

        check_page(options.page, options.publish)
    for key in ("jobs", "threads"):
        if getattr(options, key) is not None:
            at_least(f"--{key}", getattr(options, key), 1)
    if options.threads:
        from openbackdoor_badllm.benchmark.work import settle

        settle(options.threads)  # before torch


def _run_cells(
    options: argparse.Namespace, plan: Plan, wanted: Sequence[Cell], results: Results, complaints: Console
) -> dict[str, Any]:
    """Runs what is missing; the tables are written anew after every cell."""
    from openbackdoor_badllm.benchmark.cell import Settings
    from openbackdoor_badllm.benchmark.executors import open_executor, share_of_threads
    from openbackdoor_badllm.benchmark.planned import write_tables
    from openbackdoor_badllm.benchmark.runner import run_cells
    from openbackdoor_badllm.benchmark.view import View

    view = View(complaints, len(wanted), quiet=options.quiet)
    jobs = _jobs(options)
    settings = Settings(
        plan.out.resolve(),
        cache=options.cache.resolve() if options.cache else None,
        threads=options.threads or share_of_threads(jobs),
        executor=options.executor,
        budget=plan.budget,
        openbackdoor=plan.host.home,
    )
    made: dict[str, Any] = {}
    with ConsoleProgress(complaints, quiet=options.quiet or not complaints.is_terminal) as progress:
        executor = open_executor(
            options.executor, jobs=jobs, out=plan.out, options=_slurm_options(options.slurm), progress=progress
        )
        for ended in run_cells(wanted, executor, settings):
            view.ended(ended, results.of(ended.cell))
            made = write_tables(plan, results)
    return made or write_tables(plan, results)


def _jobs(options: argparse.Namespace) -> int:
    """Cells at a time: as many as are named, else one for each GPU, else one."""
    from openbackdoor_badllm.benchmark.executors import visible_gpus

    return options.jobs or max(1, len(visible_gpus()))


def _grid(options: argparse.Namespace) -> Grid | None:
    """The grid; None for JSON configs."""
    from openbackdoor_badllm.benchmark.grid import load_grid

    kinds = {path.suffix.lower() for path in options.configs}
    if kinds == {".json"}:
        return None
    if len(options.configs) > 1 or not kinds <= {".yaml", ".yml"}:
        raise ConfigError("Name one grid (.yaml), or any number of JSON configs (.json).")
    overrides = list(options.overrides)
    if options.profile:
        overrides.append(f"profile={options.profile}")
    if options.seeds:
        overrides.append(f"seeds={options.seeds}")
    return load_grid(options.configs[0], overrides)


def _estimate(
    options: argparse.Namespace, wanted: Sequence[Cell], out: Path, store: Store, host: Host, complaints: Console
) -> None:
    from openbackdoor_badllm.benchmark.estimate import estimate

    with ConsoleProgress(complaints, quiet=options.quiet) as progress:
        progress.stage("estimate")
        cost = estimate(wanted, out, store, host, probe=not options.no_probe, progress=progress)
    for sentence in cost.sentences(min(len(wanted), _jobs(options))):
        complaints.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _slurm_options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise ConfigError(f"--slurm expects key=value, for instance slurm_partition=gpu, but got '{pair}'.")
        options[key] = yaml.safe_load(value)
    return options

