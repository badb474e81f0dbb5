"""``badllmtg audit --model DIR --texts FILE``: a classifier without its training rows. Thin over ``audit_model``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from openbackdoor_badllm.cli.common import open_store, print_json
from openbackdoor_badllm.errors import ConfigError

if TYPE_CHECKING:
    from openbackdoor_badllm.auditing.result import AuditResult

USELESS = ("rows", "test", "from_scratch", "sample", "label_column")
"""Options that mean nothing without training rows."""


def run(options: argparse.Namespace) -> str:
    """Runs it; returns the verdict.

    Raises:
        ConfigError: an option does not fit, or there is no such file.
        DataError: the texts cannot be used.
        VictimError: the model cannot be had.
    """
    _check(options)
    from openbackdoor_badllm.auditing.inputs import texts_of_file
    from openbackdoor_badllm.auditing.model_audit import resolve_model_audit, run_model_audit
    from openbackdoor_badllm.auditing.result import AuditResult
    from openbackdoor_badllm.evaluation.audit_victim import Named
    from openbackdoor_badllm.evaluation.console import ConsoleProgress
    from openbackdoor_badllm.evaluation.finding_files import write_findings
    from openbackdoor_badllm.evaluation.folder import RESULTS, RunFolder, config_hash, file_hash, safe_name

    names = [name.strip() for name in options.label_names.split(",")] if options.label_names else None
    config = resolve_model_audit(
        options.model, str(options.texts.resolve()), overrides=options.overrides, label_names=names,
        seed=42 if options.seed is None else options.seed, time_limit=options.time_limit,
        text_column=options.text_column,
    )  # fmt: skip
    content = {"texts": file_hash(options.texts), "model": open_store(options.cache).model_fingerprint(options.model)}
    identity = {**config, "content": content}
    default = Path("runs") / f"audit-model-{safe_name(Path(options.model).name)}-{config_hash(identity)}"
    folder = RunFolder(options.out or default, identity, force=options.force)
    if folder.finished() is None:
        texts = texts_of_file(options.texts, options.text_column)
        with folder.log(), ConsoleProgress(Console(stderr=True), quiet=options.quiet) as progress:
            made = run_model_audit(config, texts, Named(options.model), progress, options.texts.name)
        write_findings(folder, made.flagged, made.search)
        folder.write_json(RESULTS, made.results)
    result = AuditResult.open(folder.path)
    _tell(options, result, folder.path)
    return result.verdict


def _check(options: argparse.Namespace) -> None:
    if options.model is None:
        raise ConfigError("--texts is for a model without its training rows: name the model with --model DIR.")
    if not options.texts.exists():
        raise ConfigError(f"There is no file '{options.texts}': name one with texts (CSV, TSV, TXT, JSONL or Parquet).")
    for name in USELESS:
        if getattr(options, name):
            told = "training rows are" if name == "rows" else f"--{name.replace('_', '-')} is"
            raise ConfigError(
                f"{told} named beside --texts: name rows to audit a model with the rows that it was trained on, or "
                "--texts alone to audit it without."
            )
    if options.format == "html":
        raise ConfigError("An audit of a model alone has no HTML page: use --format text, json or sarif.")


def _tell(options: argparse.Namespace, result: AuditResult, folder: Path) -> None:
    if options.json:
        print_json(result.results)
    elif options.format == "json":
        sys.stdout.write(result.to_json())
    elif options.format == "sarif":
        sys.stdout.write(result.to_sarif())
    else:
        from openbackdoor_badllm.auditing.model_summary import print_model_summary

        print_model_summary(result.results, folder, Console())
