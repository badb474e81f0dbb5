"""What is said of a run first: the verdict in words, and the few numbers that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.evaluation.shortcut_text import shortcut_sentences
from openbackdoor_badllm.html_report.page import percent
from openbackdoor_badllm.html_report.shown import short
from openbackdoor_badllm.trigger_generator.participation import told

# As evaluation/measuring.py names them; that module would load torch, and this one reads files.
UNDEFENDED, DEFENDED, ORACLE, CLEAN = "undefended", "defended", "oracle filter", "trained on clean rows"
ORDER = (UNDEFENDED, DEFENDED, ORACLE, CLEAN)
NAME = 60  # characters of a name: data set, attack, victim, label


def label_name(results: Mapping[str, Any], label: Any) -> str:
    """A label with its name: ``1 (positive)``."""
    names = results.get("label_names") or []
    name = short(str(names[label]), NAME) if isinstance(label, int) and 0 <= label < len(names) else str(label)
    return name if name == str(label) else f"{label} ({name})"


def verdict_of(results: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, str]:
    """Whether there is a backdoor, which, and how likely: ``kind``, ``heading`` and ``sentence``.

    ``kind`` is ``found``, ``shortcut``, ``nothing``, ``other`` (a defence that looks for no trigger) or ``undefended``.
    """
    if not results.get("defender"):
        return _verdict(
            "undefended", "No defence was run", "This run attacked a victim and evaluated it as it is."
        )
    if not report:
        name = name_of(results, "defender")
        return _verdict(
            "other", f"Defended by {name}", f"The defence '{name}' looks for no trigger, so none is shown here."
        )
    generator = report["generator"]
    by = "no language model was asked" if generator == "offline" else f"proposals by {short(str(generator), NAME)}"
    if not section(report, "llm").get("took_part", True):
        by = "statistics alone"
    shortcuts = shortcut_sentences(results, report)
    if not report["backdoor"] and shortcuts:
        return _verdict("shortcut", "No backdoor found, but a shortcut", " ".join(shortcuts) + _likely(results))
    if not report["backdoor"] and results.get("verdict") == "shortcut":
        sentence = f"No trigger was found ({by}). The training rows were left as they are."
        return _verdict("shortcut", "No backdoor found, but something in the raw text", sentence + _likely(results))
    if not report["backdoor"]:
        sentence = f"No trigger was found ({by}). The training rows were left as they are."
        where = "" if results.get("complete", True) else " in what was searched"
        return _verdict("nothing", f"No backdoor found{where}", sentence + _likely(results))
    found = [str(item["text"]) for item in report["triggers"]]
    shown = ", ".join(f"“{short(text, 60)}”" for text in found[:6]) + (" and more" if len(found) > 6 else "")
    what = f"Texts with {shown}" if found else "Texts in a certain style or syntax"
    sentence = f"{what} are given label {label_name(results, report['target_label'])}, whatever they say ({by})."
    others = [label_name(results, finding["target_label"]) for finding in report["further"]]
    if others:
        sentence += f" Further backdoors lead to label {' and '.join(others)}."
    return _verdict("found", "Backdoor found", sentence + _likely(results))


def _likely(results: Mapping[str, Any]) -> str:
    """How likely a backdoor is; only an audit says so."""
    probability = results.get("probability")
    return f" Probability of a backdoor: {percent(probability, 0)}." if isinstance(probability, float) else ""


def _verdict(kind: str, heading: str, sentence: str) -> dict[str, str]:
    return {"kind": kind, "heading": heading, "sentence": sentence}


def remarks_of(results: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """What a reader must know besides, each a sentence."""
    remarks = [str(note) for note in results.get("notes") or ()]
    if report and not report["backdoor"]:
        remarks.insert(
            0, "That is no proof that there is none: what is neither inserted words nor a shared style is missed."
        )
    llm = section(report, "llm")
    if "took_part" in llm:
        remarks.append(told(llm))
    if llm.get("stopped_by") and llm.get("took_part", True):
        remarks.append(f"The language model was given up before the end of the search: {llm['stopped_by']}")
    truth = section(results, "truth")
    if truth and report.get("backdoor"):
        right = "is" if truth["target_label_right"] else "is not"
        remarks.append(
            f"This attack was planted, so the answer is known: the label {right} the attacker's; "
            f"{percent(truth['flagged_precision'])} of the rows named are poisoned, and "
            f"{percent(truth['flagged_recall'])} of the poisoned rows are named."
        )
    return remarks


def about_of(results: Mapping[str, Any]) -> str:
    """The attack of a run in one line; of an audit, which knows of none, its rows."""
    seed = f"seed {results['seed']}"
    if "poisoner" not in results:
        model = f"; model {name_of(results, 'model')}" if results.get("model") else ""
        return (
            f"{results['rows']} training rows of {len(results['label_names'])} classes{model}; trained from "
            f"{name_of(results, 'victim')}; {seed}"
        )
    return (
        f"{percent(results['poison_rate'], 0)} of the training rows poisoned ({results['setting']}) toward label "
        f"{label_name(results, results['target_label'])}; victim {name_of(results, 'victim')}; {seed}"
    )


def tiles_of(
    results: Mapping[str, Any], report: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """The numbers that matter: name, value and a note."""
    by_name = {line["name"]: line for line in lines}
    before, after, floor = (by_name.get(name, {}) for name in (UNDEFENDED, DEFENDED, CLEAN))
    tiles = []
    for key, name in (("ASR", "Attack success rate"), ("CACC", "Accuracy on clean rows")):
        known = [percent(line[key]) for line in (before, after) if line.get(key) is not None]
        if known:
            note = f"{percent(floor[key])} when trained on clean rows" if floor.get(key) is not None else ""
            tiles.append({"name": name, "value": " → ".join(known), "note": note})
    if report.get("backdoor"):
        label = label_name(results, report["target_label"])
        tiles.append({"name": "Target label", "value": label, "note": "where the trigger leads"})
        fix = report["repair"]
        done = [
            f"{fix[key]} {words}"
            for key, words in (
                ("relabelled", "labelled anew"), ("removed", "dropped"),
                ("stamped", "clean rows added with the trigger and their own label"),
            )
            if fix[key]
        ]
        note = f"repair {fix['strategy']}: {', '.join(done) or 'nothing changed'}"
        tiles.append({"name": "Flagged training rows", "value": str(report["flagged_rows"]), "note": note})
    return tiles


def name_of(results: Mapping[str, Any], key: str) -> str:
    """A name in the results, short."""
    return short(str(results.get(key, "?")), NAME)


def section(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a JSON object; empty where it is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}
