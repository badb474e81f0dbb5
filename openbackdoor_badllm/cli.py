"""The command line: ``badllmtg defend``, ``audit``, ``scan``, ``benchmark``, ``show``, ``report`` and ``doctor``.

Results go to stdout, progress and complaints to stderr. Exit codes: 0 done, 1 a defect of ours, 2 bad input, 3 found,
130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import openbackdoor_badllm
from openbackdoor_badllm.benchmark.command import add_arguments
from openbackdoor_badllm.benchmark.command import run as run_benchmark
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, ConfigError, UserError
from openbackdoor_badllm.evaluation.console import printable
from openbackdoor_badllm.openbackdoor.host_options import add_host, take_host
from openbackdoor_badllm.reading import load_json
from openbackdoor_badllm.text_scan.command import add_scan

if TYPE_CHECKING:
    from openbackdoor_badllm.training.store import Store

EXIT_CODES = "exit codes: 0 done; 1 a defect of this program; 2 bad input, told in one sentence; 130 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = command_parser().parse_args(arguments)
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
    _add_run(defend, example="defender.repair=paper", out="runs/<config>-<profile>-<hash>")
    defend.add_argument("--no-references", action="store_true", help="leave out the oracle filter and the clean model")
    defend.add_argument(
        "--dry-run", action="store_true", help="only tell what the language model may cost; trains and sends nothing"
    )
    defend.set_defaults(run=_defend)

    audit = commands.add_parser(
        "audit",
        help="look for a backdoor in your own rows, and in your own classifier; no attack is planted",
        description="Looks for a backdoor in labelled rows (CSV, TSV, JSONL, Parquet) and, where one is named, in a "
        "classifier that was trained on them. Leaves the rows that carry it, the repaired rows and a clean model.",
        epilog=EXIT_CODES,
    )
    audit.add_argument("rows", type=Path, metavar="ROWS", help="file of the training rows")
    audit.add_argument("--test", type=Path, metavar="FILE", help="clean rows to tell the accuracy on; nothing else")
    audit.add_argument("--model", metavar="DIR", help="classifier that was trained on the rows (folder or hub name)")
    audit.add_argument(
        "--victim", default="auto", metavar="DIR",
        help="pretrained model to train from (default: bert-base-uncased where it can be had, else minilm)",
    )
    audit.add_argument(
        "--from-scratch", action="store_true", help="train a fresh classifier on the repaired rows"
    )
    audit.add_argument("--text-column", metavar="NAME", help="column of the texts (default: text, sentence, ...)")
    audit.add_argument("--label-column", metavar="NAME", help="column of the labels (default: label, class, ...)")
    audit.add_argument("--label-names", metavar="A,B,...", help="class names in the order of their indices")
    _add_run(audit, example="train.epochs=3 or defender.llm.backend=openai", out="runs/audit-<rows>-<hash>")
    audit.set_defaults(run=_audit)

    add_scan(commands)

    show = commands.add_parser(
        "show",
        help="the search of a run, iteration by iteration: what was asked, what came, what the victim said",
        epilog=EXIT_CODES,
    )
    show.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished run")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown, questions and answers in full")
    show.set_defaults(run=_show)

    report = commands.add_parser(
        "report",
        help="one HTML page, and pictures, of a run or of a benchmark",
        description="Writes one self-contained HTML page, and its pictures as SVG and PNG, from what a run or "
        "run_benchmark.py left in a folder.",
        epilog=EXIT_CODES,
    )
    report.add_argument("folder", type=Path, metavar="DIR", help="folder of a run, or output of run_benchmark.py")
    report.add_argument("--out", type=Path, metavar="FILE", help="the page (default DIR/report.html)")
    report.set_defaults(run=_report)

    benchmark = commands.add_parser(
        "benchmark",
        help="a grid of data sets, attacks, defenders and seeds, and its tables (as run_benchmark.py)",
        description="Runs a grid (YAML), or JSON configs side by side, and writes table.md, .csv, .tex and .json.",
        epilog=EXIT_CODES + " (benchmark: also 1 where a cell failed)",
    )
    add_arguments(benchmark)
    benchmark.set_defaults(run=run_benchmark)

    doctor = commands.add_parser(
        "doctor", help="what is installed, which host, hub, GPU, LLM endpoint, data found", epilog=EXIT_CODES
    )
    doctor.add_argument("--data-root", type=Path, metavar="DIR", help="folder with datasets/ and poison_data/")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_run(command: argparse.ArgumentParser, *, example: str, out: str) -> None:
    """The options of everything that leaves a run's folder."""
    command.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help=f"change a config key, for instance {example}; may be repeated",
    )
    command.add_argument("--seed", type=int, help="seed of everything that is drawn (default 42)")
    command.add_argument("--out", type=Path, metavar="DIR", help=f"run folder (default {out})")
    command.add_argument("--cache", type=Path, metavar="DIR", help="where trained victims are kept between runs")
    command.add_argument("--force", action="store_true", help="run again although the folder holds results")
    command.add_argument("--json", action="store_true", help="print results.json instead of the summary")
    command.add_argument("--quiet", action="store_true", help="no progress")


def _defend(options: argparse.Namespace) -> int:
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
    store = _open_store(options.cache)
    with ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
        results = Experiment(
            config, references=not options.no_references, store=store, progress=progress, host=host
        ).run(folder)
    if options.json:
        _print_json(results)
    else:
        print_summary(results, folder.path, Console())
    return EXIT_OK


def _audit(options: argparse.Namespace) -> int:
    # Imported here for the same reason as above.
    from openbackdoor_badllm.evaluation.audit_run import AuditRun
    from openbackdoor_badllm.evaluation.console import ConsoleProgress
    from openbackdoor_badllm.evaluation.folder import RunFolder, config_hash, file_hash, safe_name
    from openbackdoor_badllm.evaluation.summary import print_summary

    config = audit_config(options)
    store = _open_store(options.cache)
    # The same names may hold other rows, or a model that has been mended since: then the old answer is none.
    content = {
        **{name: file_hash(file) for name, file in (("rows", options.rows), ("test", options.test)) if file},
        **({"model": store.model_fingerprint(options.model)} if options.model else {}),
    }
    identity = {**config, "content": content}
    default = Path("runs") / f"audit-{safe_name(options.rows.stem)}-{config_hash(identity)}"
    folder = RunFolder(options.out or default, identity, force=options.force)
    with ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
        results = AuditRun(config, store=store, progress=progress).run(folder)
    if options.json:
        _print_json(results)
    else:
        print_summary(results, folder.path, Console())
    return EXIT_OK


def audit_config(options: argparse.Namespace) -> dict[str, Any]:
    """The config of an audit, from its options.

    Raises:
        ConfigError: a file is not there, a key is unknown, or a value does not fit.
    """
    for file in (options.rows, options.test):
        if file is not None and not file.is_file():
            raise ConfigError(f"There is no file '{file}': name one with labelled rows (CSV, TSV, JSONL or Parquet).")
    from openbackdoor_badllm.evaluation.audit_run import resolve_audit

    rows: dict[str, Any] = {"train_file": str(options.rows.resolve())}
    if options.test is not None:
        rows["test_file"] = str(options.test.resolve())
    for key in ("text_column", "label_column"):
        if getattr(options, key):
            rows[key] = getattr(options, key)
    if options.label_names:
        rows["label_names"] = [name.strip() for name in options.label_names.split(",")]
    return resolve_audit(
        rows,
        model=options.model,
        victim=options.victim,
        defender={"from_scratch": True} if options.from_scratch else {},
        overrides=options.overrides,
        seed=42 if options.seed is None else options.seed,
    )


def _dry_run(config: dict[str, Any], *, as_json: bool) -> int:
    from openbackdoor_badllm.evaluation.dry_run import estimate_run

    estimate = estimate_run(config)
    if as_json:
        _print_json(None if estimate is None else estimate._asdict())
    elif estimate is None:
        sys.stdout.write("No language model is asked.\n")
    else:
        sys.stdout.write(f"LLM budget: {estimate}\n")
    return EXIT_OK


def _show(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.evaluation.show import as_markdown, as_text, story

    told = story(options.run_folder)
    if options.json:
        _print_json(told)
    elif options.markdown:
        sys.stdout.write(as_markdown(told))
    else:
        sys.stdout.write("\n".join(as_text(told)) + "\n")
    return EXIT_OK


def _report(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.html_report.writer import write_report

    written = write_report(options.folder, options.out)
    sys.stdout.write(f"{written.page}\n")
    if written.left_out:
        sys.stderr.write(f"badllmtg: the page has tables and no pictures, as {written.left_out}.\n")
    return EXIT_OK


def _doctor(options: argparse.Namespace) -> int:
    from openbackdoor_badllm.evaluation.doctor import examine

    found = examine(options.data_root)
    if options.json:
        _print_json(found)
        return EXIT_OK
    console = Console()
    for section, value in found.items():
        if isinstance(value, dict):
            console.print(f"[bold]{section}[/bold]")
            for name, item in value.items():
                shown = "; ".join(item) if isinstance(item, list) else str(item)
                console.print(f"  {name}: {shown or 'none'}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(f"[bold]{section}[/bold]", end=" ")
            console.print(str(value), markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK


def _print_json(value: Any) -> None:
    from openbackdoor_badllm.evaluation.folder import as_json

    sys.stdout.write(as_json(value))


def _open_store(folder: Path | None) -> Store:
    from openbackdoor_badllm.training.store import Store

    store = Store(folder)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(store.folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"The cache folder '{store.folder}' cannot be written ({reason}): name another with --cache."
        ) from None
    return store
