"""``badllmtg repair``: the clean model of an audit that was run without one."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from openbackdoor_badllm.cli.common import EXIT_CODES, Commands, add_machine, open_store, print_json
from openbackdoor_badllm.errors import EXIT_OK, ConfigError


def add_command(commands: Commands) -> None:
    """The command and its options."""
    repair = commands.add_parser(
        "repair",
        help="make the clean model of an audit that was run with --no-repair",
        description="Trains the audited model a little further, so that the triggers that were found lose their "
        "effect, and leaves it in RUN/model with a model card.",
        epilog=EXIT_CODES,
    )
    repair.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished audit")
    repair.add_argument(
        "--from-scratch", action="store_true", help="train a fresh classifier on the repaired rows instead"
    )
    repair.add_argument("--json", action="store_true", help="print results.json instead of the summary")
    add_machine(repair)
    repair.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    folder: Path = options.run_folder
    if not folder.is_dir():
        raise ConfigError(f"The folder '{folder}' does not exist: name the one that 'badllmtg audit' told.")
    from openbackdoor_badllm.auditing.repairing import repair_run
    from openbackdoor_badllm.evaluation.console import ConsoleProgress
    from openbackdoor_badllm.evaluation.summary import print_summary
    from openbackdoor_badllm.html_report.writer import write_report

    store = open_store(options.cache)
    with ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
        results = repair_run(folder, from_scratch=options.from_scratch, store=store, progress=progress)
    write_report(folder)
    if options.json:
        print_json(results)
    else:
        print_summary(results, folder, Console())
    return EXIT_OK
