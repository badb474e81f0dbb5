"""The command line of ``run_benchmark.py``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from openbackdoor_badllm.benchmark.runner import CellResult, plan, run_cells
from openbackdoor_badllm.benchmark.tables import summarise, to_csv, to_markdown
from openbackdoor_badllm.cli import add_host, take_host
from openbackdoor_badllm.engine.store import Store
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, UserError
from openbackdoor_badllm.run.console import ConsoleProgress
from openbackdoor_badllm.run.folder import write_whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison; returns the exit code: 1 when a cell failed."""
    options = _parser().parse_args(arguments)
    complaints = Console(stderr=True)
    try:
        host = take_host(options, complaints)
        cells = plan(
            options.configs, options.seeds, profile=options.profile,
            overrides=options.overrides, data_root=options.data_root, host=host,
        )
        if options.dry_run:
            for cell in cells:
                done = (cell.folder(options.out, options.profile) / "results.json").is_file()
                state = "done  " if done else "to run"
                complaints.print(f"{state} {cell.config.stem} seed {cell.seed}", markup=False, highlight=False)
            return EXIT_OK
        finished: list[CellResult] = []
        options.out.mkdir(parents=True, exist_ok=True)
        with ConsoleProgress(complaints, quiet=options.quiet) as progress:
            store = Store(options.cache)
            for result in run_cells(
                cells, options.out, profile=options.profile, store=store, progress=progress, host=host
            ):
                finished.append(result)
                _write_tables(finished, options.out)  # after every cell: an interrupted run leaves what it has
    except UserError as error:
        complaints.print(f"run_benchmark: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complaints.print("run_benchmark: interrupted. The same command goes on with what is missing.", highlight=False)
        return EXIT_INTERRUPTED
    Console().print(to_markdown(summarise(finished)), markup=False, highlight=False, soft_wrap=True)
    return EXIT_FAILURE if any(item.results is None for item in finished) else EXIT_OK


def _write_tables(finished: Sequence[CellResult], out: Path) -> None:
    records = summarise(finished)
    write_whole(out / "table.md", to_markdown(records))
    write_whole(out / "table.csv", to_csv(records))
    write_whole(out / "table.json", json.dumps(records, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_benchmark.py",
        description="Runs configs side by side and writes table.md, table.csv and table.json. Finished cells are kept.",
    )
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="OpenBackdoor JSON configs")
    parser.add_argument("--profile", default="desk", help="smoke, desk (default) or full")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder with datasets/ and poison_data/")
    add_host(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], metavar="N", help="one run each (default 42)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where trained victims are kept between runs")
    parser.add_argument("--dry-run", action="store_true", help="list the cells and what is done already")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser
