"""The scan of the raw text as part of an audit: what no victim may show, since its tokenizer drops it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.evaluation.audit_notes import RAW_TEXT
from openbackdoor_badllm.evaluation.audit_rows import AuditRows
from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.report import AuditReport, Verdict
from openbackdoor_badllm.text_scan.records import Degree, Finding, TextScan
from openbackdoor_badllm.text_scan.scanner import scan
from openbackdoor_badllm.training.classifier import TrainedClassifier

EXPLAINED = 0.5
"""A finding of which this share of the rows is flagged anyway needs no word of its own."""
MOST_NOTES = 5


def scan_rows(rows: AuditRows, victim: Classifier, seed: int) -> TextScan:
    """Scans the texts of an audit; the victim's tokenizer, where it has one, tells which odd signs it sees."""
    tokens = victim.tokenizer.tokenize if isinstance(victim, TrainedClassifier) else None
    return scan(
        [row.text for row in rows.train], [row.label for row in rows.train], rows.info.num_classes,
        label_names=list(rows.label_names), tokens=tokens, seed=seed,
    )  # fmt: skip


def unexplained(scanned: TextScan, report: AuditReport) -> list[Finding]:
    """The suspicious findings that the flagged rows of the audit do not explain."""
    flagged = {row.index for row in report.flagged}
    return [
        finding for finding in scanned.findings
        if finding.degree is Degree.SUSPICIOUS
        and len(flagged.intersection(finding.rows)) < EXPLAINED * len(finding.rows)
    ]


def verdict_with(scanned: TextScan, report: AuditReport) -> Verdict:
    """The verdict of an audit; what the scan alone finds is worth a look, as no victim confirms it."""
    if report.verdict is Verdict.NOTHING and unexplained(scanned, report):
        return Verdict.SHORTCUT
    return report.verdict


def scan_notes(scanned: TextScan, report: AuditReport) -> list[str]:
    """What the scan found beside the audit, a sentence each."""
    left = unexplained(scanned, report)
    notes = [
        f"{RAW_TEXT} {finding.sentence} "
        + ("The victim cannot follow it, as its tokenizer drops it; another model may." if finding.seen is False
           else "No trigger that the victim follows explains it.")
        for finding in left[:MOST_NOTES]
    ]
    if len(left) > MOST_NOTES:
        notes.append(f"{RAW_TEXT} {len(left) - MOST_NOTES} more findings (badllmtg scan).")
    return notes


def scan_results(scanned: TextScan, *, most: int = 50) -> Sequence[Mapping[str, Any]]:
    """The findings for ``results.json``, most telling first, without their rows."""
    return [
        {key: value for key, value in finding.to_dict().items() if key != "rows"} | {"row_count": len(finding.rows)}
        for finding in scanned.findings[:most]
    ]
