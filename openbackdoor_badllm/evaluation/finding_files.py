"""The flagged rows of a report as records, and the files of its rows (``flagged.csv``) and search (``search.json``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openbackdoor_badllm.evaluation.audit_rows import Place
from openbackdoor_badllm.evaluation.folder import FLAGGED, SEARCH, RunFolder, read_cells
from openbackdoor_badllm.report import AuditReport, Backdoor
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.trigger_inversion.attribution import FlaggedRow

LONGEST = 60  # characters of a trigger within a reason


@dataclass(frozen=True)
class FlaggedRecord:
    """A training row that carries a trigger, in a reader's terms.

    Attributes:
        row: its number among the rows that were given; 0 is the first.
        file: the file that it stands in; None of rows in memory.
        line: its line there, as a spreadsheet counts it (a header is line 1).
        text: as it is.
        label: class name.
        probability: how likely it is poisoned, in [0, 1].
        trigger: what it carries; several are joined by " | ". Empty where it shares a style.
        suggested_label: class name of what the text says without the trigger; None where none was looked for.
        reason: why it is flagged, in words.
        text_without_trigger: its text without what can be taken out.
        suspect: whether a repair does not take it as it is.
        label_index: class index of ``label``.
    """

    row: int
    file: str | None
    line: int | None
    text: str
    label: str
    probability: float
    trigger: str
    suggested_label: str | None
    reason: str
    text_without_trigger: str
    suspect: bool
    label_index: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "probability": round(self.probability, 4)}


def flagged_records(
    report: AuditReport, rows: Sequence[Row], names: Sequence[str], places: Sequence[Place] | None = None
) -> list[FlaggedRecord]:
    """The flagged rows of a report, ascending.

    Args:
        report: what was found.
        rows: the training rows.
        names: class names.
        places: where each row stands; its index when None.
    """
    records = []
    for backdoor in report.backdoors:
        for item in backdoor.flagged:
            place = places[item.index] if places is not None else Place(item.index)
            label = rows[item.index].label
            records.append(
                FlaggedRecord(
                    place.row, place.file, place.line, rows[item.index].text, _name(names, label), item.probability,
                    " | ".join(trigger.written for trigger in item.triggers),
                    None if item.fresh_label is None else _name(names, item.fresh_label),
                    _reason(item, backdoor, names), item.text_without, item.suspect, label,
                )
            )
    return sorted(records, key=lambda record: record.row)


def _reason(item: FlaggedRow, backdoor: Backdoor, names: Sequence[str]) -> str:
    target = _name(names, backdoor.target_label)
    flips = {found.trigger: found.report.flip_rate for found in backdoor.found}
    told = [
        f"carries '{_short(trigger.written)}', which turns {flips[trigger]:.0%} of other texts into '{target}'"
        for trigger in item.triggers
    ]
    if item.style and backdoor.style is not None:
        told.append(f"shares a style with {len(backdoor.style.rows)} rows of '{target}'")
    if item.fresh_label is not None and item.fresh_label != backdoor.target_label:
        told.append(f"without it, the text says '{_name(names, item.fresh_label)}'")
    elif not item.suspect:
        told.append("more likely than not an honest row")
    return "; ".join(told)


def write_findings(
    folder: RunFolder, records: Sequence[FlaggedRecord], search: Sequence[Mapping[str, Any]]
) -> None:
    """Writes ``flagged.csv`` (safe in a spreadsheet) and ``search.json`` (see :func:`search_history`)."""
    header = (
        "row", "probability", "trigger", "label", "text", "text_without_trigger", "suggested_label", "reason", "file",
        "line", "suspect", "label_name",
    )  # fmt: skip
    folder.write_csv(
        FLAGGED,
        header,
        (
            (
                item.row, round(item.probability, 4), item.trigger, item.label_index, item.text,
                item.text_without_trigger, item.suggested_label or "", item.reason, item.file or "",
                "" if item.line is None else item.line, int(item.suspect), item.label,
            )
            for item in records
        ),
    )
    folder.write_json(SEARCH, search)


def search_history(report: AuditReport) -> list[dict[str, Any]]:
    """Every candidate that reached the last round of its race, with what became of it."""
    return [
        {
            "label": result.label,
            "iteration": scored.iteration,
            **scored.trigger.to_dict(),
            **scored.reward.to_dict(),
            "reason": scored.reason,
            **({"shown": [item.to_dict() for item in scored.shown]} if scored.shown else {}),
        }
        for result in report.searches
        for scored in result.history
    ]


def read_records(file: Path) -> list[FlaggedRecord]:
    """The records that ``flagged.csv`` holds; none where there is no such file.

    Raises:
        KeyError, ValueError: it is none of this version.
    """
    return [_record(cells) for cells in read_cells(file)]


def _record(cells: Mapping[str, str]) -> FlaggedRecord:
    return FlaggedRecord(
        int(cells["row"]), cells["file"] or None, int(cells["line"]) if cells["line"] else None, cells["text"],
        cells["label_name"], float(cells["probability"]), cells["trigger"], cells["suggested_label"] or None,
        cells["reason"], cells["text_without_trigger"], cells["suspect"] == "1", int(cells["label"]),
    )


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else str(label)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
