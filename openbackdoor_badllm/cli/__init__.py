"""The command line: ``badllmtg audit``, ``scan``, ``repair``, ``defend``, ``benchmark``, ``show`` and others.

Each command has a module. Results go to stdout, progress and complaints to stderr. Exit codes: 0 done, 1 a defect of
ours, 2 bad input, 3 found (``--fail-on``), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

import openbackdoor_badllm
from openbackdoor_badllm.benchmark.command import add_arguments
from openbackdoor_badllm.benchmark.command import run as run_benchmark
from openbackdoor_badllm.cli import audit, defend, reading, repair, scan
from openbackdoor_badllm.cli.audit import audit_config
from openbackdoor_badllm.cli.common import EXIT_CODES
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, UserError
from openbackdoor_badllm.evaluation.console import printable

__all__ = ["audit_config", "command_parser", "main"]

WELCOME = """badllmtg finds and removes backdoors from text classifiers. Type one of these:

  badllmtg scan rows.csv                      a first look in seconds, without a model
  badllmtg audit rows.csv                     is there a backdoor in these labelled texts?
  badllmtg audit rows.csv --model DIR         ... and in the classifier that was trained on them?
  badllmtg audit --model DIR --texts FILE     ... in a classifier alone, without its rows?
  badllmtg audit rows.csv --fail-on backdoor  for a pipeline: exit code 3 where one is found
  badllmtg report RUN                         everything about a run on one page
  badllmtg doctor                             what is installed, and what can be reached
  badllmtg --help                             all commands

rows.csv: a column 'text' and a column 'label' (or --text-column, --label-column).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        sys.stderr.write(WELCOME)
        return EXIT_BAD_INPUT
    options = command_parser().parse_args(given)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    complaints = Console(stderr=True)
    try:
        return int(options.run(options))
    except UserError as error:
        told = printable(str(error))  # one line, whatever a file has put into the message
        complaints.print(f"badllmtg: {told}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complaints.print(
            "badllmtg: interrupted. The same command goes on from what is trained already.", highlight=False
        )
        return EXIT_INTERRUPTED


def command_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="badllmtg",
        description="BadLLM-TG: finds and removes backdoors from text classifiers.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"badllmtg {openbackdoor_badllm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    audit.add_command(commands)
    scan.add_command(commands)
    repair.add_command(commands)
    defend.add_command(commands)
    reading.add_commands(commands)
    benchmark = commands.add_parser(
        "benchmark",
        help="a grid of data sets, attacks, defenders and seeds, and its tables (as run_benchmark.py)",
        description="Runs a grid (YAML), or JSON configs side by side, and writes table.md, .csv, .tex and .json.",
        epilog=EXIT_CODES + " (benchmark: also 1 where a cell failed)",
    )
    add_arguments(benchmark)
    benchmark.set_defaults(run=run_benchmark)
    return parser
