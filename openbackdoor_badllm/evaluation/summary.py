"""The readable summary at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openbackdoor_badllm.evaluation.console import printable
from openbackdoor_badllm.evaluation.folder import MODEL, PAGE
from openbackdoor_badllm.evaluation.shortcut_text import shortcut_sentences
from openbackdoor_badllm.evaluation.show import usage_text
from openbackdoor_badllm.settings import Thresholds
from openbackdoor_badllm.trigger_generator.participation import claimed, told

SHOWN = 110  # characters of a text


def print_summary(results: Mapping[str, Any], folder: Path | None, console: Console) -> None:
    """Prints what a run found. Texts come from the attacker: markup and control characters in them do nothing.

    Args:
        results: of the run.
        folder: that it left; None where it left none.
        console: where.
    """
    console.print()
    if "poisoner" not in results:
        _print_audit(results, folder, console)
        return
    console.print(
        f"[bold]{_plain(results['dataset'])}[/bold], attack [bold]{_plain(results['poisoner'])}[/bold]: "
        f"{results['poison_rate']:.0%} of the training rows poisoned ({results['setting']}) toward label "
        f"{_label(results, results['target_label'])}; victim {_plain(_short(str(results['victim'])))}"
    )
    report = results.get("report")
    if report is not None:
        _print_report(results, report, console)
    _print_lines(results, console)
    _print_defence(results, console)
    if folder is not None:
        console.print(f"Run folder: {_plain(str(folder))}", soft_wrap=True)


def _print_audit(results: Mapping[str, Any], folder: Path | None, console: Console) -> None:
    """An audit of somebody's own rows: no attack is known, so there is no truth to hold it against."""
    model = f"; model {_plain(_short(str(results['model'])))}" if results.get("model") else ""
    console.print(
        f"[bold]{_plain(results['dataset'])}[/bold]: {results['rows']} rows of {len(results['label_names'])} classes"
        f"{model}; trained from {_plain(_short(str(results['victim'])))}"
    )
    agrees = results.get("model_agrees", 1.0)
    if agrees < Thresholds().weak_agreement:
        console.print(
            f"[bold]The model gives {agrees:.0%} of its own rows their label[/bold], which is little: less is claimed."
        )
    cut = results.get("cut_rows", 0.0)
    if cut:
        console.print(
            f"[bold]{max(cut, 0.01):.0%} of the rows are longer than {results['max_len']} tokens[/bold]: the victim "
            "reads a part of them only, and a trigger beyond it is not seen. More: --set victim.max_len=N.",
            soft_wrap=True,
        )
    _print_report(results, results["report"], console)
    if "probability" in results:
        console.print(f"Probability of a backdoor: {results['probability']:.0%} (docs/results.md tells how it is had).")
    after = results.get("after_repair_flip_rate") or {}
    if after:
        told = ", ".join(f"{_plain(_short(name, 50))} {value:.0%}" for name, value in after.items())
        console.print(f"The triggers' flips on the clean model: {told}.", soft_wrap=True)
    for line in results["lines"]:
        console.print(f"Accuracy on {results['test_rows']} test rows, {line['name']}: {_percent(line['CACC'])}")
    for note in results.get("notes", ()):
        console.print(f"Note: {_plain(note)}", soft_wrap=True)
    if folder is None:
        return
    for name, file in (results.get("files") or {}).items():
        console.print(f"Repaired {name}: {_plain(str(folder / file))}", soft_wrap=True)
    console.print(f"Run folder: {_plain(str(folder))}", soft_wrap=True)
    console.print(f"[bold]Next:[/bold] {_plain(next_step(results, folder))}", soft_wrap=True)


def next_step(results: Mapping[str, Any], folder: Path) -> str:
    """What to do after an audit, in one line."""
    page = folder / PAGE
    if results["verdict"] == "backdoor":
        if "model" in (results.get("files") or {}):
            return f"look at the flagged rows in {page}, then use the model in {folder / MODEL}."
        if results.get("files"):
            again = shlex.join(["badllmtg", "repair", str(folder)])
            return f"look at the flagged rows in {page}, then make a clean model: {again}"
        return f"look at the flagged rows in {page}."
    if results["verdict"] == "shortcut":
        return f"look at {page}: rows of one label share something that moves the model; it may be honest."
    if not results["complete"]:
        return "run it again with a larger --time-limit: not everything was looked at."
    return f"nothing has to be done; what was looked at is in {page}."


def _print_report(results: Mapping[str, Any], report: Mapping[str, Any], console: Console) -> None:
    generator = report["generator"]
    named = "offline search, no LLM" if generator == "offline" else f"generator {generator}"
    if not (report.get("llm") or {}).get("took_part", True):
        named = "statistics alone"
    console.print()
    _print_llm(report.get("llm"), console)
    shortcuts = shortcut_sentences(results, report)
    if not report["backdoor"] and (shortcuts or results.get("verdict") == "shortcut"):
        what = "a shortcut" if shortcuts else "something in the raw text (see the notes)"
        console.print(f"[bold]No backdoor found, but {what}[/bold]. The training rows were left as they are.")
        for sentence in shortcuts:
            console.print(_plain(sentence), soft_wrap=True)
        return
    if not report["backdoor"]:
        where = "" if results.get("complete", True) else " in what was searched"
        console.print(
            f"[bold]No backdoor found{where}[/bold] ({_plain(named)}). The training rows were left as they are."
        )
        return
    console.print(
        f"[bold]Backdoor found[/bold] ({_plain(named)}). Target label: "
        f"[bold]{_label(results, report['target_label'])}[/bold]{_mark(results, 'target_label_right')}"
    )
    _print_finding(results, report, console)
    for further in report.get("further", ()):
        console.print(
            f"\n[bold]A further backdoor[/bold]. Target label: [bold]{_label(results, further['target_label'])}[/bold]"
        )
        _print_finding(results, further, console)
    fix = report["repair"]
    truth = results.get("truth", {})
    precision, recall = truth.get("flagged_precision"), truth.get("flagged_recall")
    quality = (
        f" (precision {precision:.2f}, recall {recall:.2f} against the poison flags)"
        if precision is not None and recall is not None
        else ""
    )
    console.print(
        f"\n{report['flagged_rows']} training rows are flagged{quality}. Repair '{fix['strategy']}': "
        f"{fix['relabelled']} rows labelled anew, without the trigger where it can be taken out "
        f"({fix['changed_label']} got another label), {fix['removed']} dropped, {fix['stamped']} "
        "clean rows added with the trigger and their own label.",
        soft_wrap=True,
    )


def _print_finding(results: Mapping[str, Any], finding: Mapping[str, Any], console: Console) -> None:
    """The triggers and the style of one label, and an example."""
    if finding["triggers"]:
        _print_triggers(finding, console)
    if finding["style"] is not None:
        _print_style(finding, console)
    for shown in finding["demonstrations"][:1]:
        console.print(f"\nFor example: {_plain(_short(shown['text']))}")
        console.print(
            f"  victim: {_label(results, shown['label_before'])}; with the trigger: "
            f"[bold]{_label(results, shown['label_after'])}[/bold] "
            f"({shown['target_probability_before']:.2f} -> {shown['target_probability_after']:.2f})"
        )


def _print_triggers(finding: Mapping[str, Any], console: Console) -> None:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("trigger", no_wrap=False)
    for name in ("kind", "place", "flips", "reference", "contradicted", "p", "rows"):
        table.add_column(name, justify="right" if name not in ("kind", "place") else "left")
    for found in finding["triggers"]:
        table.add_row(
            _plain(_short(found["text"], 50)),
            found["kind"],
            found["position"],
            f"{found['report']['flip_rate']:.0%}",
            "-" if found["reference_shift"] is None else f"{found['reference_shift']:.0%}",
            f"{found['contradicted']:.0%}",
            f"{found['p_value']:.1g}",
            str(found["target_rows"]),
        )
    console.print(table)
    console.print(
        "[dim]flips: texts of other labels that the trigger turns into the target label; reference: how far it shifts "
        "a model of the content that has not seen its rows (a class word shifts it far); contradicted: rows with the "
        "trigger whose text says another label; p: chance that ordinary text does all this, corrected.[/dim]",
        soft_wrap=True,
    )


def _print_llm(llm: Mapping[str, Any] | None, console: Console) -> None:
    """What the language model cost, its part in the run, and why it was given up, where it was."""
    if llm is None:
        return
    console.print(f"Language model {_plain(str(llm.get('model', '')))}: {usage_text(llm['usage'])}", soft_wrap=True)
    if "took_part" in llm:
        style = "" if llm["took_part"] else "[bold]"
        console.print(f"{style}{_plain(told(llm))}", soft_wrap=True)
    if llm["stopped_by"] and llm.get("took_part", True):
        console.print(f"It was given up before the end of the search: {_plain(llm['stopped_by'])}")


def _print_style(finding: Mapping[str, Any], console: Console) -> None:
    test = finding["unlearning"]
    marks = ", ".join(f"{mark!r}" for mark in finding["style"]["marks"][:8])
    console.print(
        f"A style or syntax shared by {finding['style']['rows']} rows, marked by {_plain(marks)}. After the victim "
        f"unlearnt half of these rows, {test['moved']:.0%} of the others whose text contradicts the label left it; "
        f"of such rows without the style, {test['usual']:.0%} (p {test['p_value']:.1g}).",
        soft_wrap=True,
    )
    name = claimed(finding.get("style_name") or {})
    if name:
        console.print(_plain(name), soft_wrap=True)


def _print_lines(results: Mapping[str, Any], console: Console) -> None:
    console.print()
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("victim")
    for name in ("CACC", "ASR", "R-Acc", "train rows"):
        table.add_column(name, justify="right")
    for line in results["lines"]:
        bold = "[bold]" if line["name"] == "defended" else ""
        table.add_row(
            f"{bold}{line['name']}",
            *(f"{bold}{_percent(line[key])}" for key in ("CACC", "ASR", "R-Acc")),
            str(line["train_rows"]),
        )
    console.print(table)
    console.print(
        "[dim]CACC: accuracy on clean test rows. ASR: poisoned test rows called the target label. R-Acc: poisoned test "
        "rows given their original label. Percent.[/dim]"
    )


def _print_defence(results: Mapping[str, Any], console: Console) -> None:
    """What else there is to say of the defence: detection figures, what it cost, what it says of its work."""
    defence = results.get("defence")
    line = next((line for line in results["lines"] if line["name"] == "defended"), None)
    if defence is None or line is None:
        return
    told = [f"{_plain(str(results['defender']))}: {_plain(defence['outcome'])}"]
    if defence["evaluation_only"]:
        told.append("[bold]a reference, no defence: it knows what only an evaluation knows[/bold]")
    told += [f"{name} {_percent(line[name])}" for name in ("FRR", "FAR") if name in line]
    if line.get("AUROC") is not None:
        told.append(f"AUROC {line['AUROC']:.3f}")
    if "CACC let through" in line:
        through = " / ".join(_percent(line[f"{name} let through"]) for name in ("CACC", "ASR", "R-Acc"))
        told.append(f"rows let through: CACC / ASR / R-Acc {through}")
    if line.get("defence_seconds") is not None:
        told.append(f"{line['defence_seconds']:.1f} s, {line['peak_memory_mb']:.0f} MiB at the highest")
    console.print("; ".join(told) + ".", soft_wrap=True)
    if defence["details"]:
        named = ", ".join(f"{name} {value}" for name, value in defence["details"].items())
        console.print(f"[dim]{_plain(_short(named, 400))}[/dim]", soft_wrap=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _label(results: Mapping[str, Any], label: int) -> str:
    names = results.get("label_names") or []
    name = names[label] if label < len(names) else str(label)
    return str(label) if name == str(label) else f"{label} ({_plain(name)})"


def _mark(results: Mapping[str, Any], key: str) -> str:
    value = results.get("truth", {}).get(key)
    return "" if value is None else " (right)" if value else " [red](wrong)[/red]"


def _short(text: str, limit: int = SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(text: str) -> str:
    """Text of unknown origin, safe on a terminal: no markup, no control characters."""
    return escape(printable(text))
