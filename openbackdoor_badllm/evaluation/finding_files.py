"""Writes a report's flagged rows (``flagged.csv``) and search history (``search.json``)."""

from __future__ import annotations

from collections.abc import Sequence

from openbackdoor_badllm.evaluation.folder import FLAGGED, SEARCH, RunFolder
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Row


def write_findings(
    folder: RunFolder, report: AuditReport, rows: Sequence[Row], numbers: Sequence[int] | None = None
) -> None:
    """Writes ``flagged.csv`` (safe in a spreadsheet) and ``search.json``.

    Args:
        folder: the run's.
        report: what was found.
        rows: the training rows.
        numbers: by which each row is known to the reader; its index when None.
    """
    folder.write_csv(
        FLAGGED,
        ("row", "probability", "trigger", "label", "text", "text_without_trigger"),
        (
            (
                item.index if numbers is None else numbers[item.index],
                round(item.probability, 4),
                " | ".join(trigger.written for trigger in item.triggers),
                rows[item.index].label,
                rows[item.index].text,
                item.text_without,
            )
            for item in report.flagged
        ),
    )
    folder.write_json(
        SEARCH,
        [
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
        ],
    )
