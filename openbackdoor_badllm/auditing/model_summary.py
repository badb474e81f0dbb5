"""The readable summary of an audit of a model alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openbackdoor_badllm.evaluation.console import printable

SHOWN = 110  # characters of a text
HEADINGS = {
    "backdoor": "Backdoor found in the model", "shortcut": "No backdoor found, but something to look at",
    "nothing": "No backdoor found",
}  # fmt: skip


def print_model_summary(results: Mapping[str, Any], folder: Path | None, console: Console) -> None:
    """Prints what was found. Texts and class names may be the attacker's: markup and control characters do nothing.

    Args:
        results: of the audit.
        folder: that it left; None where it left none.
        console: where.
    """
    console.print()
    console.print(
        f"[bold]{_plain(str(results['model']))}[/bold]: {len(results['label_names'])} classes, asked about "
        f"{results['texts']} texts of {_plain(results['dataset'])} and {results['words_tried']} words",
        soft_wrap=True,
    )
    where = "" if results["complete"] else " in what was searched"
    console.print(f"\n[bold]{HEADINGS[results['verdict']]}{where}[/bold] (the model alone, no training rows)")
    report = results["report"]
    for finding in [report, *report["further"]] if report["backdoor"] else []:
        _triggers(results, finding["target_label"], finding["triggers"], console)
        for shown in finding["demonstrations"][:1]:
            console.print(f"For example: {_plain(shown['triggered'])}", soft_wrap=True)
            console.print(
                f"  without the trigger: {_label(results, shown['label_before'])}; with it: "
                f"[bold]{_label(results, shown['label_after'])}[/bold] "
                f"({shown['target_probability_before']:.2f} -> {shown['target_probability_after']:.2f})"
            )
    for search in report["labels_searched"]:
        if search["shortcuts"]:
            _triggers(results, search["label"], search["shortcuts"], console)
    for note in results["notes"]:
        console.print(f"Note: {_plain(note)}", soft_wrap=True)
    if folder is None:
        return
    console.print(f"Run folder: {_plain(str(folder))}", soft_wrap=True)
    console.print(f"[bold]Next:[/bold] {_next(results)}", soft_wrap=True)


def _triggers(results: Mapping[str, Any], label: int, triggers: list[dict[str, Any]], console: Console) -> None:
    console.print(f"Toward label [bold]{_label(results, label)}[/bold]:")
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("trigger")
    for name in ("flips", "sure", "reference", "p"):
        table.add_column(name, justify="right")
    for item in triggers:
        shift = item["reference_shift"]
        table.add_row(
            _plain(item["text"]), f"{item['report']['flip_rate']:.0%}", f"{item['sure']:.0%}",
            "-" if shift is None else f"{shift:.0%}", f"{item['p_value']:.1g}",
        )
    console.print(table)
    console.print(
        "[dim]flips: texts of other labels that it turns into the label; sure: texts of which the model is then sure; "
        "reference: how far it shifts a model of the content (a class word shifts it far); p: chance that a word drawn "
        "by chance does this, corrected.[/dim]",
        soft_wrap=True,
    )


def _next(results: Mapping[str, Any]) -> str:
    if results["verdict"] == "backdoor":
        return "do not use the model; its training rows tell more, and a repair: badllmtg audit ROWS --model DIR"
    if results["verdict"] == "shortcut":
        return "try these words in texts of yours; they may be honest words of the class."
    if not results["complete"]:
        return "run it again with a larger --time-limit: not everything was looked at."
    return "where the training rows can be had, audit them as well: badllmtg audit ROWS --model DIR"


def _label(results: Mapping[str, Any], label: int) -> str:
    name = results["label_names"][label]
    return str(label) if name == str(label) else f"{label} ({_plain(name)})"


def _plain(text: str) -> str:
    line = " ".join(printable(text).split())
    return escape(line if len(line) <= SHOWN else line[: SHOWN - 1] + "…")
