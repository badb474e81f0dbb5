"""What a reader of an audit must know beside the verdict: what was not looked at, and why. One sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.evaluation.audit_rows import AuditRows
from openbackdoor_badllm.report import AuditReport

UNREPAIRED = "before a clean model was trained"
"""Part of the note that a later repair makes untrue."""
RAW_TEXT = "The raw text:"
"""Beginning of the notes on what the scan of the raw text found."""
CLEAN_MODEL = "On the clean model"
"""Beginning of the notes on a clean model; another clean model makes them untrue."""


def notes_of(
    report: AuditReport,
    rows: AuditRows,
    *,
    sample: Sequence[int] | None,
    deadline: Deadline,
    askable_only: bool,
    unrepaired: bool,
) -> list[str]:
    """The notes of an audit.

    Args:
        report: what was found.
        rows: what was audited.
        sample: the rows that were searched; all when None.
        deadline: of the audit.
        askable_only: the victim can be asked, and not be trained further.
        unrepaired: a clean model was wanted, and the deadline kept it from being made.
    """
    notes = []
    if report.unsearched:
        notes.append(
            f"The time limit of {deadline.seconds:g} s passed before all labels were searched: nothing is known of "
            f"{_listed(report.unsearched, rows)}."
        )
    if report.unasked:
        notes.append(
            f"The time limit of {deadline.seconds:g} s passed before the language model was asked about "
            f"{_listed(report.unasked, rows)}."
        )
    if unrepaired:
        notes.append(f"The time limit of {deadline.seconds:g} s passed {UNREPAIRED}.")
    if sample is not None:
        notes.append(
            f"{len(sample)} of {len(rows.train)} rows, drawn by label, were trained on and searched (--sample takes "
            "another number); then all rows were scanned for the inserted triggers that were found."
        )
        if any(backdoor.style is not None for backdoor in report.backdoors):
            notes.append("Which rows share the style is told of the searched rows alone.")
    if askable_only:
        notes.append(
            "The model can be asked and not be trained: whether a style or a syntax is the trigger was not tested, and "
            "a repair trains a fresh model on the repaired rows."
        )
    return notes


def repair_notes(after: Mapping[str, Any], names: Sequence[str], bound: float) -> list[str]:
    """What the clean model still has, or has got by the repair.

    Args:
        after: ``after_repair_flip_rate`` and ``planted`` of the results.
        names: class names.
        bound: flip rate from which a trigger counts as left.
    """
    notes = [
        f"{CLEAN_MODEL} '{trigger}' still turns {rate:.0%} of other texts: the repair did not take it out. "
        "Train a fresh model on the repaired rows (badllmtg repair RUN --from-scratch)."
        for trigger, rate in after["after_repair_flip_rate"].items() if rate > bound
    ]
    notes += [
        f"{CLEAN_MODEL} '{item['pattern']}' moves texts to '{names[item['label']]}', which it did not before the "
        "repair: the repaired rows share it. Do not use that model; look at these rows."
        for item in after["planted"]
    ]
    return notes


def _listed(labels: Sequence[int], rows: AuditRows) -> str:
    names = [f"'{rows.label_names[label]}'" for label in labels[:10]]
    return f"label {', '.join(names)}" + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
