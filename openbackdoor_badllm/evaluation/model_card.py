"""The model card (README.md) of a repaired model: what was found, what was done, what was measured, on which rows.

Triggers, class names and file names are somebody else's text. They stand in code spans, without line ends or marks
that Markdown reads; the card's header holds none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import openbackdoor_badllm
from openbackdoor_badllm.evaluation.console import printable

CARD = "README.md"
SHOWN, LONGEST = 20, 100
_MARKS = frozenset("\\`*_[]()<>#|&!~")

_HEADER = """---
library_name: transformers
pipeline_tag: text-classification
tags:
- backdoor-defence
- openbackdoor-badllm
---
"""


def model_card(results: Mapping[str, Any]) -> str:
    """The card.

    Args:
        results: of the audit, with the figures of the clean model.
    """
    report = results["report"]
    sections = (
        ("What was found", _found(results, report)),
        ("What was done", _done(results, report)),
        ("What was measured", _measured(results)),
        ("On which rows", _rows(results)),
        ("What this does not say", _limits(results)),
    )
    told = [f"## {heading}\n\n" + "\n".join(lines) for heading, lines in sections]
    version = openbackdoor_badllm.__version__
    begin = f"# A text classifier after the removal of a backdoor\n\nMade by openbackdoor-badllm {version}.\n"
    return _HEADER + begin + "\n" + "\n\n".join(told) + "\n"


def _found(results: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    for finding in (report, *report.get("further", ())):
        yield f"A backdoor toward the label {_label(results, finding['target_label'])}."
        for item in finding["triggers"][:SHOWN]:
            yield (
                f"- the {item['kind']} {_code(item['text'])} ({item['position']}): turned "
                f"{item['report']['flip_rate']:.0%} of {item['report']['texts']} other texts into that label, and "
                f"stands in {item['target_rows']} rows of it"
            )
        if finding["style"] is not None:
            yield f"- a style that {finding['style']['rows']} of its rows share"
    yield f"\n{report['flagged_rows']} rows are flagged."


def _done(results: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    fix = report["repair"]
    yield (
        f"Repair {_code(fix['strategy'])}: {fix['relabelled']} rows lost the trigger and got the label that their text "
        f"says ({fix['changed_label']} got another one), {fix['removed']} were dropped, {fix['stamped']} copies of "
        "clean rows with the trigger and their own label were added."
    )
    if results.get("in_place"):
        yield "The attacked model was trained a little further; its architecture and vocabulary are as they were."
    else:
        yield f"A fresh model was trained from {_code(results['victim'])} on the repaired rows."


def _measured(results: Mapping[str, Any]) -> Iterator[str]:
    after = results.get("after_repair_flip_rate") or {}
    if after:
        yield "Share of other texts that a trigger still turns into the target label:\n"
        yield "| trigger | this model |\n|---|---|"
        for trigger, rate in list(after.items())[:SHOWN]:
            yield f"| {_code(trigger)} | {rate:.0%} |"
    if results.get("lines"):
        yield f"\nAccuracy on {results['test_rows']} test rows:\n"
        yield "| model | accuracy |\n|---|---|"
        for line in results["lines"]:
            yield f"| {'attacked' if line['name'] == 'undefended' else 'this model'} | {line['CACC']:.1%} |"
    if not after and not results.get("lines"):
        yield "Nothing: no trigger can be inserted, and no test rows were given."


def _rows(results: Mapping[str, Any]) -> Iterator[str]:
    searched = results.get("rows_searched", results["rows"])
    part = f", {searched} of them searched" if searched != results["rows"] else ""
    names = ", ".join(_code(name) for name in results["label_names"][:SHOWN])
    yield f"{results['rows']} rows of {_code(results['dataset'])}{part}; classes {names}; seed {results['seed']}."
    yield "\nThe flip rates are of rows that took no part in the search. The test rows had no part in anything else."


def _limits(results: Mapping[str, Any]) -> Iterator[str]:
    yield "That no other trigger is left. What was not looked for is not found:\n"
    yield "- a trigger that stands in fewer rows than the search looks at, or in no training row at all"
    for note in results.get("notes", ()):
        yield f"- {_plain(note)}"


def _label(results: Mapping[str, Any], label: int) -> str:
    names = results["label_names"]
    return _code(names[label] if label < len(names) else str(label))


def _plain(text: object) -> str:
    """A text of unknown origin on one line, without the marks that Markdown, HTML and a table read."""
    line = printable(" ".join(str(text).split()))
    return "".join(f"&#{ord(sign)};" if sign in _MARKS else sign for sign in line)


def _code(text: object) -> str:
    """A text of unknown origin as a code span that it cannot leave."""
    line = printable(" ".join(str(text).split())).replace("`", "ˋ").replace("|", "¦")
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return f"`{line or ' '}`"
