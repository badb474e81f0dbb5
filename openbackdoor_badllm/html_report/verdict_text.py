"""What is said of a run first: the verdict in words, and the few numbers that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openbackdoor_badllm.html_report.shown import short
from openbackdoor_badllm.trigger_generator.participation import told

# As evaluation/experiment.py names them; that module would load torch, and this one reads files.
UNDEFENDED, DEFENDED, ORACLE, CLEAN = "undefended", "defended", "oracle filter", "trained on clean rows"
ORDER = (UNDEFENDED, DEFENDED, ORACLE, CLEAN)
NAME = 60  # characters of a name: data set, attack, victim, label


@dataclass
class Verdict:
    """What is said first.

    Attributes:
        kind: ``found``, ``nothing``, ``other`` (a defence that looks for no trigger) or ``undefended``.
        remarks: what a reader must know besides, each a sentence.
    """

    kind: str
    heading: str
    sentence: str
    remarks: list[str] = field(default_factory=list)


def label_name(results: Mapping[str, Any], label: Any) -> str:
    """A label with its name: ``1 (positive)``."""
    names = results.get("label_names") or []
    name = short(str(names[label]), NAME) if isinstance(label, int) and 0 <= label < len(names) else str(label)
    return name if name == str(label) else f"{label} ({name})"


def share(value: Any, digits: int = 1) -> str:
    """A share in percent."""
    return "not measured" if not isinstance(value, int | float) else f"{100 * value:.{digits}f}%"


def verdict_of(results: Mapping[str, Any], report: Mapping[str, Any]) -> Verdict:
    """Whether there is a backdoor, which, and what a reader must know besides."""
    if not results.get("defender"):
        return Verdict("undefended", "No defence was run", "This run attacked a victim and evaluated it as it is.")
    if not report:
        name = name_of(results, "defender")
        return Verdict(
            "other", f"Defended by {name}", f"The defence '{name}' looks for no trigger, so none is shown here."
        )
    remarks = [str(note) for note in results.get("notes") or ()]
    llm = section(report, "llm")
    took_part = llm.get("took_part", True)
    if "took_part" in llm:
        remarks.append(told(llm))
    if llm.get("stopped_by") and took_part:
        remarks.append(f"The language model was given up before the end of the search: {llm['stopped_by']}")
    generator = report.get("generator")
    by = "no language model was asked" if generator == "offline" else f"proposals by {short(str(generator), NAME)}"
    by = by if took_part else "statistics alone"
    label = label_name(results, report.get("target_label"))
    if not report.get("backdoor"):
        remarks.insert(
            0, "That is no proof that there is none: what is neither inserted words nor a shared style is missed."
        )
        sentence = f"No trigger was found ({by}). The training rows were left as they are."
        where = "" if results.get("complete", True) else " in what was searched"
        return Verdict("nothing", f"No backdoor found{where}", sentence, remarks)
    found = [str(item["text"]) for item in report.get("triggers") or []]
    if found:
        shown = ", ".join(f"“{short(text, 60)}”" for text in found[:6]) + (" and more" if len(found) > 6 else "")
        what = f"Texts with {shown} are given label {label}, whatever they say ({by})."
    else:
        what = f"Texts in a certain style or syntax are given label {label}, whatever they say ({by})."
    others = [label_name(results, finding.get("target_label")) for finding in report.get("further") or ()]
    if others:
        what += f" Further backdoors lead to label {' and '.join(others)}."
    truth = section(results, "truth")
    if truth.get("target_label_right") is not None:
        right = "is" if truth["target_label_right"] else "is not"
        rows = truth.get("flagged_precision"), truth.get("flagged_recall")
        remarks.append(
            f"This attack was planted, so the answer is known: the label {right} the attacker's; "
            f"{share(rows[0])} of the rows named are poisoned, and {share(rows[1])} of the poisoned rows are named."
        )
    return Verdict("found", "Backdoor found", what, remarks)


def about_of(results: Mapping[str, Any]) -> str:
    """The attack of a run in one line; of an audit, which knows of none, its rows."""
    if "poisoner" not in results:
        model = f"; model {name_of(results, 'model')}" if results.get("model") else ""
        return (
            f"{results.get('rows', '?')} training rows of {len(results.get('label_names') or [])} classes{model}; "
            f"trained from {name_of(results, 'victim')}; seed {results.get('seed', '?')}"
        )
    rate = results.get("poison_rate")
    poisoned = f"{share(rate, 0)} of the training rows poisoned" if isinstance(rate, int | float) else "poisoned rows"
    return (
        f"{poisoned} ({results.get('setting', '?')}) toward label {label_name(results, results.get('target_label'))}; "
        f"victim {name_of(results, 'victim')}; seed {results.get('seed', '?')}"
    )


def tiles_of(
    results: Mapping[str, Any], report: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """The numbers that matter: name, value and a note."""
    by_name = {line.get("name"): line for line in lines}
    before, after, floor = by_name.get(UNDEFENDED, {}), by_name.get(DEFENDED, {}), by_name.get(CLEAN, {})
    tiles = []
    for key, name in (("ASR", "Attack success rate"), ("CACC", "Accuracy on clean rows")):
        first, then = before.get(key), after.get(key)
        if first is None and then is None:
            continue
        shown = share(then) if first is None else share(first) if then is None else f"{share(first)} → {share(then)}"
        note = f"{share(floor[key])} when trained on clean rows" if floor.get(key) is not None else ""
        tiles.append({"name": name, "value": shown, "note": note})
    if report.get("backdoor"):
        label = label_name(results, report.get("target_label"))
        tiles.append({"name": "Target label", "value": label, "note": "where the trigger leads"})
        rows = str(report.get("flagged_rows", "?"))
        tiles.append({"name": "Flagged training rows", "value": rows, "note": _repaired(report)})
    return tiles


def _repaired(report: Mapping[str, Any]) -> str:
    fix = section(report, "repair")
    done = [
        f"{fix[key]} {words}"
        for key, words in (
            ("relabelled", "labelled anew"),
            ("removed", "dropped"),
            ("stamped", "stamped copies added"),
        )
        if fix.get(key)
    ]
    return f"repair {fix.get('strategy', '?')}: " + (", ".join(done) or "nothing changed")


def name_of(results: Mapping[str, Any], key: str) -> str:
    """A name in the results, short."""
    return short(str(results.get(key, "?")), NAME)


def section(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a JSON object; empty where it is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}
