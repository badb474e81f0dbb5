"""``badllmtg defend``: attack, defend and evaluate, from one OpenBackdoor config."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from openbackdoor_badllm.cli.common import EXIT_CODES, Commands, add_run, open_store, print_json
from openbackdoor_badllm.errors import EXIT_OK
from openbackdoor_badllm.openbackdoor.host_options import add_host, take_host
from openbackdoor_badllm.reading import load_json


def add_command(commands: Commands) -> None:
    """The command and its options."""
    defend = commands.add_parser(
        "defend",
        help="attack, defend and evaluate, from one OpenBackdoor config",
        description="Attack, defend and evaluate, from one OpenBackdoor JSON config.",
        epilog=EXIT_CODES,
    )
    defend.add_argument("--config", type=Path, required=True, metavar="FILE", help="OpenBackdoor JSON config")
    defend.add_argument("--profile", default="full", help="smoke (minutes), desk (2-core CPU) or full (default)")
    defend.add_argument("--data-root", type=Path, metavar="DIR", help="folder with datasets/ and poison_data/")
    add_host(defend)
    add_run(defend, example="defender.repair=paper", out="runs/<config>-<profile>-<hash>")
    defend.add_argument("--no-references", action="store_true", help="leave out the oracle filter and the clean model")
    defend.add_argument(
        "--dry-run", action="store_true", help="only tell what the language model may cost; trains and sends nothing"
    )
    defend.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    config = load_json(options.config)
    # Imported here: torch and transformers take seconds, and a misspelt file name should not wait for them.
    from openbackdoor_badllm.evaluation.console import ConsoleProgress
    from openbackdoor_badllm.evaluation.experiment import Experiment, resolve
    from openbackdoor_badllm.evaluation.folder import RunFolder, config_hash
    from openbackdoor_badllm.evaluation.summary import print_summary

    config = resolve(
        config,
        profile=options.profile,
        overrides=options.overrides,
        data_root=options.data_root,
        seed=options.seed,
    )
    if options.dry_run:
        return _dry_run(config, as_json=options.json)
    host = take_host(options, Console(stderr=True))
    identity = {**config, "references": not options.no_references, **host.identity}
    default = Path("runs") / f"{options.config.stem}-{options.profile}-{config_hash(identity)}"
    folder = RunFolder(options.out or default, identity, force=options.force)
    store = open_store(options.cache)
    with ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
        results = Experiment(
            config, references=not options.no_references, store=store, progress=progress, host=host
        ).run(folder)
    if options.json:
        print_json(results)
    else:
        print_summary(results, folder.path, Console())
    return EXIT_OK


def _dry_run(config: dict[str, Any], *, as_json: bool) -> int:
    from openbackdoor_badllm.evaluation.dry_run import estimate_run

    estimate = estimate_run(config)
    if as_json:
        print_json(None if estimate is None else estimate._asdict())
    elif estimate is None:
        sys.stdout.write("No language model is asked.\n")
    else:
        sys.stdout.write(f"LLM budget: {estimate}\n")
    return EXIT_OK
