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
from openbackdoor_badllm.training.lengths import cut_share, token_counts

EXPLAINED = 0.5
"""A finding of which this share of the rows is flagged anyway needs no word of its own."""
MOST_NOTES = 5
MOST_COUNTED = 200
"""Rows of a finding whose tokens are counted."""


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


def scan_notes(scanned: TextScan, report: AuditReport, rows: AuditRows, victim: Classifier) -> list[str]:
    """What the scan found beside the audit, a sentence each."""
    left = unexplained(scanned, report)
    notes = [f"{RAW_TEXT} {finding.sentence} {_followed(finding, rows, victim)}" for finding in left[:MOST_NOTES]]
    if len(left) > MOST_NOTES:
        notes.append(f"{RAW_TEXT} {len(left) - MOST_NOTES} more findings (badllmtg scan).")
    if scanned.mined < len(rows.train):
        notes.append(
            f"{RAW_TEXT} patterns were looked for in {scanned.mined} rows, drawn by label, and counted in all."
        )
    return notes


def _followed(finding: Finding, rows: AuditRows, victim: Classifier) -> str:
    """Whether the victim can follow a finding that no trigger explains."""
    if finding.seen is False:
        return "The victim cannot follow it, as its tokenizer drops it; another model may."
    if isinstance(victim, TrainedClassifier) and finding.rows:
        some = [rows.train[row].text for row in finding.rows[:MOST_COUNTED]]
        cut = cut_share(token_counts(victim.tokenizer, some), victim.spec.max_len)
        if cut > 0.5:
            return (
                f"{cut:.0%} of these rows are longer than the {victim.spec.max_len} tokens that the victim reads, so "
                "it may not see it; another model may. More: --set victim.max_len=N."
            )
    return "No trigger that the victim follows explains it."


def scan_results(scanned: TextScan, *, most: int = 50) -> Sequence[Mapping[str, Any]]:
    """The findings for ``results.json``, most telling first, without their rows."""
    return [
        {key: value for key, value in finding.to_dict().items() if key != "rows"} | {"row_count": len(finding.rows)}
        for finding in scanned.findings[:most]
    ]
