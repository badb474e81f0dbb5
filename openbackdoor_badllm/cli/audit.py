"""``badllmtg audit``: one's own rows, and one's own classifier. Thin over :class:`AuditRun` and ``AuditResult``."""

from __future__ import annotations

import argparse
import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from openbackdoor_badllm.cli.common import EXIT_CODES, Commands, add_run, open_store, print_json
from openbackdoor_badllm.errors import EXIT_FOUND, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from openbackdoor_badllm.evaluation.standard_input import Piped

FOUND = {"backdoor": ("backdoor",), "shortcut": ("backdoor", "shortcut"), "never": ()}
"""The verdicts at which each ``--fail-on`` ends with :data:`EXIT_FOUND`."""
HUB = "hf://"
STDIN = "-"


def add_command(commands: Commands) -> None:
    """The command and its options."""
    audit = commands.add_parser(
        "audit",
        help="look for a backdoor in your own rows, and in your own classifier; no attack is planted",
        description="Looks for a backdoor in labelled rows (CSV, TSV, JSONL, Parquet) and, where one is named, in a "
        "classifier that was trained on them; or (--texts) in a classifier alone. Leaves the rows that carry it, the "
        "repaired rows, a clean model and a "
        "page with everything.",
        epilog=EXIT_CODES,
    )
    audit.add_argument(
        "rows", nargs="*", metavar="ROWS",
        help="files of the training rows, '*' patterns among them; - for standard input; hf://NAME for a hub data set",
    )
    audit.add_argument(
        "--texts", type=Path, metavar="FILE",
        help="audit the --model alone, without training rows, on these texts (labelled or not); a weaker verdict",
    )
    audit.add_argument("--test", type=Path, metavar="FILE", help="clean rows to tell the accuracy on; nothing else")
    audit.add_argument("--model", metavar="DIR", help="classifier that was trained on the rows (folder or hub name)")
    audit.add_argument(
        "--victim", default="auto", metavar="DIR",
        help="pretrained model to train from (default: bert-base-uncased where it can be had, else minilm)",
    )
    repair = audit.add_mutually_exclusive_group()
    repair.add_argument("--from-scratch", action="store_true", help="train a fresh classifier on the repaired rows")
    repair.add_argument(
        "--no-repair", action="store_true", help="make no clean model; 'badllmtg repair RUN' makes it later"
    )
    audit.add_argument("--text-column", metavar="NAME", help="column of the texts (default: text, sentence, ...)")
    audit.add_argument("--label-column", metavar="NAME", help="column of the labels (default: label, class, ...)")
    audit.add_argument("--label-names", metavar="A,B,...", help="class names in the order of their indices")
    audit.add_argument(
        "--sample", type=int, metavar="N",
        help="train on and search N rows, drawn by label (default: at most 5000); then scan all rows for the triggers "
        "that were found",
    )
    audit.add_argument(
        "--time-limit", type=float, metavar="SECONDS",
        help="search no further label after that; one always is, and what was left out is told",
    )
    audit.add_argument(
        "--fail-on", choices=tuple(FOUND), default="never",
        help="exit with 3 where a backdoor, or a backdoor or a shortcut, is found (default never)",
    )
    audit.add_argument(
        "--format", choices=("text", "json", "sarif", "html"), default="text", help="what is printed (default text)"
    )
    add_run(audit, example="train.epochs=3 or defender.llm.backend=openai", out="runs/audit-<rows>-<hash>")
    audit.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    if options.texts is not None:
        from openbackdoor_badllm.cli.audit_model import run as run_model

        return EXIT_FOUND if run_model(options) in FOUND[options.fail_on] else EXIT_OK
    if not options.rows:
        raise ConfigError("No rows are named: name a file of training rows, or a model alone with --model and --texts.")
    options.rows = expanded(options.rows)
    config = audit_config(options)
    # Imported here: torch and transformers take seconds, and a misspelt file name should not wait for them.
    from openbackdoor_badllm.evaluation.audit_rows import content_digest
    from openbackdoor_badllm.evaluation.audit_run import AuditRun
    from openbackdoor_badllm.evaluation.console import ConsoleProgress
    from openbackdoor_badllm.evaluation.folder import RunFolder, config_hash, file_hash, safe_name

    store = open_store(options.cache)
    piped = _piped(options.rows)
    files = [row for row in options.rows if row != STDIN and not row.startswith(HUB)]
    # The same names may hold other rows, or a model that has been mended since: then the old answer is none.
    content = {
        **({"rows": content_digest(files)} if files else {}),
        **({"piped": piped.digest} if piped is not None else {}),
        **({"test": file_hash(options.test)} if options.test else {}),
        **({"model": store.model_fingerprint(options.model)} if options.model else {}),
    }
    identity = {**config, "content": content}
    name = "standard-input" if options.rows[0] == STDIN else Path(options.rows[0]).stem
    default = Path("runs") / f"audit-{safe_name(name)}-{config_hash(identity)}"
    folder = RunFolder(options.out or default, identity, force=options.force)
    if piped is not None:
        piped.keep(folder.path)
    with ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
        results = AuditRun(config, store=store, progress=progress).run(folder)
    _tell(options, results, folder.path)
    return EXIT_FOUND if results.get("verdict") in FOUND[options.fail_on] else EXIT_OK


def _tell(options: argparse.Namespace, results: dict[str, Any], folder: Path) -> None:
    """Writes the page beside the other files, and prints what was asked for."""
    from openbackdoor_badllm.evaluation.summary import print_summary
    from openbackdoor_badllm.html_report.writer import write_report

    if options.json:
        print_json(results)
    page = write_report(folder).page
    if options.json:
        return
    if options.format == "text":
        print_summary(results, folder, Console())
        return
    from openbackdoor_badllm.auditing.result import AuditResult

    if options.format == "html":
        sys.stdout.write(page.read_text(encoding="utf-8"))
    elif options.format == "json":
        sys.stdout.write(AuditResult.open(folder).to_json())
    else:
        sys.stdout.write(AuditResult.open(folder).to_sarif())


def expanded(named: list[str]) -> list[str]:
    """The files that are named, patterns replaced by what they match, in the order of their names.

    Raises:
        ConfigError: a file is not there, a pattern matches none, or standard input is named twice.
    """
    rows: list[str] = []
    for name in named:
        if name == STDIN or name.startswith(HUB) or Path(name).exists():
            rows.append(name)
            continue
        found = sorted(file for file in glob.glob(name, recursive=True) if Path(file).is_file())  # noqa: PTH207
        if not found:
            raise ConfigError(
                f"There is no file '{name}': name one with labelled rows (CSV, TSV, JSONL or Parquet)."
            )
        rows += found
    if rows.count(STDIN) > 1 or (len(rows) > 1 and any(name.startswith(HUB) for name in rows)):
        raise ConfigError("Standard input can be named once, and a hub data set alone: drop what is too much.")
    return rows


def _piped(rows: list[str]) -> Piped | None:
    if STDIN not in rows:
        return None
    from openbackdoor_badllm.evaluation.standard_input import Piped

    return Piped.of(sys.stdin.buffer.read())


def audit_config(options: argparse.Namespace) -> dict[str, Any]:
    """The config of an audit, from its options.

    Raises:
        ConfigError: a file is not there, a key is unknown, or a value does not fit.
    """
    if options.test is not None and not options.test.exists():
        raise ConfigError(
            f"There is no file '{options.test}': name one with labelled rows (CSV, TSV, JSONL or Parquet)."
        )
    from openbackdoor_badllm.evaluation.audit_run import resolve_audit

    first, *more = [row if row == STDIN or row.startswith(HUB) else str(Path(row).resolve()) for row in options.rows]
    rows: dict[str, Any] = {"name": f"hf:{first[len(HUB):]}"} if first.startswith(HUB) else {"train_file": first}
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
        more_files=more or None,
        sample=options.sample,
        time_limit=options.time_limit,
        repair_model=False if options.no_repair else None,
    )
