"""``badllmtg scan``: the scan of a file's texts. Heavy imports wait until it is run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from openbackdoor_badllm.cli.common import EXIT_CODES, Commands
from openbackdoor_badllm.errors import EXIT_FOUND, EXIT_OK, ConfigError
from openbackdoor_badllm.evaluation.console import printable

if TYPE_CHECKING:
    from openbackdoor_badllm.evaluation.audit_rows import AuditRows
    from openbackdoor_badllm.text_scan.records import Finding, TextScan
    from openbackdoor_badllm.text_scan.scanner import Tokens

ROWS_SHOWN = 8


def add_command(commands: Commands) -> None:
    """The command and its options."""
    scan = commands.add_parser(
        "scan",
        help="a first look at labelled texts, in seconds: no model is trained",
        description="Looks in labelled texts (CSV, TSV, JSONL, Parquet) for what a planted trigger leaves: invisible "
        "and look-alike characters, words and sentences bound to one label, openings, endings, duplicates. Trains no "
        "model; what it does not find may still be there (badllmtg audit).",
        epilog=EXIT_CODES,
    )
    scan.add_argument("file", type=Path, metavar="FILE", help="labelled texts")
    scan.add_argument("--text-column", metavar="NAME", help="column of the texts (default: text, sentence, ...)")
    scan.add_argument("--label-column", metavar="NAME", help="column of the labels (default: label, class, ...)")
    scan.add_argument("--label-names", metavar="A,B,...", help="class names in the order of their indices")
    scan.add_argument("--tokenizer", metavar="DIR", help="model whose tokenizer may see odd characters, or drop them")
    scan.add_argument("--json", action="store_true", help="print JSON, with the rows of each finding")
    scan.add_argument(
        "--fail-on", choices=("suspicious", "never"), default="never",
        help="suspicious: exit with 3 where something suspicious is found",
    )
    scan.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code.

    Raises:
        ConfigError: there is no such file.
        DataError: the rows cannot be used.
    """
    from openbackdoor_badllm.text_scan.scanner import scan

    rows = _rows(options)
    names = rows.label_names
    tokens = _tokens(options.tokenizer) if options.tokenizer else None
    texts, labels = [row.text for row in rows.train], [row.label for row in rows.train]
    result = scan(texts, labels, len(names), label_names=names, tokens=tokens)
    if options.json:
        from openbackdoor_badllm.evaluation.folder import as_json

        sys.stdout.write(as_json({"file": str(options.file), "label_names": list(names), **result.to_dict()}))
    else:
        print_scan(result, options.file.name, Console())
    return EXIT_FOUND if result.suspicious and options.fail_on == "suspicious" else EXIT_OK


def print_scan(result: TextScan, name: str, console: Console) -> None:
    """Prints a scan. Texts come from the attacker: what is shown of them has no markup and no control characters."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    twice = f"; {result.exact_duplicates} rows repeat an earlier text" if result.exact_duplicates else ""
    say(f"{printable(name)}: {sum(result.label_counts)} rows of {len(result.label_counts)} classes{twice}")
    for degree, findings in _by_degree(result):
        say(f"\n{degree} ({len(findings)})", "bold")
        for finding in findings:
            say(f"- {finding.sentence}")
            say(f"  {_figures(finding)}", "dim")
    if not result.findings:
        say("\nNothing was found.", "bold")
    say("")
    if result.suspicious:
        say("Look at these rows first; 'badllmtg audit' tells whether a model learns it, and repairs the rows.")
    else:
        say("Nothing suspicious. That proves nothing: styles and word substitution leave little in the raw text. "
            "'badllmtg audit' trains a model and looks further.")


def _by_degree(result: TextScan) -> list[tuple[str, list[Finding]]]:
    degrees: dict[str, list[Finding]] = {}
    for finding in result.findings:
        degrees.setdefault(finding.degree.value.capitalize(), []).append(finding)
    return list(degrees.items())


def _figures(finding: Finding) -> str:
    """The numbers of a finding in one line."""
    shown = ", ".join(map(str, finding.rows[:ROWS_SHOWN]))
    more = f" and {len(finding.rows) - ROWS_SHOWN} more" if len(finding.rows) > ROWS_SHOWN else ""
    parts = [finding.kind, f"rows by label {' / '.join(map(str, finding.counts))}"]
    if finding.label is not None:
        parts.append(f"p {finding.p_value:.1g}")
    if finding.contradiction is not None:
        parts.append(f"contradicted p {finding.contradiction.p_value:.1g}")
    return "; ".join([*parts, f"rows {shown}{more}"])


def _rows(options: argparse.Namespace) -> AuditRows:
    """The rows of the file, read as an audit reads them."""
    if not options.file.exists():
        raise ConfigError(
            f"There is no file '{options.file}': name one with labelled texts (CSV, TSV, JSONL or Parquet)."
        )
    from openbackdoor_badllm.evaluation.audit_rows import load_rows

    keys = {"name": "custom", "dev_rate": 0.0, "test_rate": 0.0, "train_file": str(options.file.resolve())}
    for key in ("text_column", "label_column"):
        if getattr(options, key):
            keys[key] = getattr(options, key)
    if options.label_names:
        keys["label_names"] = [name.strip() for name in options.label_names.split(",")]
    return load_rows(keys)


def _tokens(path: str) -> Tokens:
    """A model's tokenizer, text to tokens."""
    from openbackdoor_badllm.training.victims import load_tokenizer

    tokenizer: Any = load_tokenizer(path)
    return lambda text: list(tokenizer.tokenize(text))
