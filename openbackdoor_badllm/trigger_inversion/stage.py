"""Stage (c) as one step: which rows carry the triggers, their fresh labels, and the repaired training set."""

from __future__ import annotations

import numpy as np

from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.report import Backdoor
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.trigger_generator.demonstration import demonstrate
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.stage import Findings, LabelFinding
from openbackdoor_badllm.trigger_inversion.attribution import rows_with_style, rows_with_triggers
from openbackdoor_badllm.trigger_inversion.relabelling import relabel
from openbackdoor_badllm.trigger_inversion.repair import Part, Repair, fine_tuning_rows, repair


def invert(
    findings: Findings, victim: Victim, evidence: RowEvidence, config: AuditConfig
) -> tuple[tuple[Backdoor, ...], Repair, tuple[Example, ...]]:
    """The backdoors with their rows, the rows to train on instead, and the rows for a repair in place.

    Args:
        findings: what stage (b) found.
        victim: trained on all rows.
        evidence: the training rows.
        config: how.
    """
    examples = evidence.examples
    backdoors = tuple(_backdoor(finding, victim, evidence, config) for finding in findings.labels)
    flagged = np.zeros(len(examples), dtype=bool)
    for backdoor in backdoors:
        flagged[list(backdoor.suspects)] = True
    parts = []
    for backdoor, finding in zip(backdoors, findings.labels, strict=True):
        rows = [row for row in backdoor.flagged if row.suspect]
        unlearnt = finding.style.said if finding.style is not None else {}
        labels: list[int] = []
        if config.repair == "relabel":
            labels = relabel(rows, victim, evidence, backdoor.target_label, flagged, unlearnt).tolist()
        parts.append(
            Part(
                backdoor.target_label,
                [trigger for trigger in backdoor.triggers if trigger.is_insertion],
                rows,
                labels,
                [copy for _, copy in backdoor.rewritten],
            )
        )
    repaired = repair(examples, parts, strategy=config.repair, stamp_share=config.stamp_share, seed=config.seed)
    short = config.repair == "relabel" and bool(parts)
    return backdoors, repaired, fine_tuning_rows(examples, parts, seed=config.seed) if short else repaired.examples


def _backdoor(finding: LabelFinding, victim: Victim, evidence: RowEvidence, config: AuditConfig) -> Backdoor:
    rows = rows_with_triggers(victim, evidence.examples, finding.label, finding.found)
    if finding.style is not None:
        rows = rows_with_style(finding.style.style, finding.style.fallen, rows, evidence.examples)
    shown = demonstrate(
        victim, finding.label, [item.trigger for item in finding.found], finding.probes,
        [(row.text, copy.text) for row, copy in finding.rewritten], seed=config.seed,
    )
    return Backdoor(
        finding.label, finding.found, finding.style.style if finding.style else None,
        finding.style.test if finding.style else None, tuple(rows), finding.rewritten, tuple(shown),
        finding.style_name,
    )
