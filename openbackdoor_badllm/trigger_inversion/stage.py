"""Stage (c) as one step: which rows carry the triggers, their fresh labels, and the repaired training set."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Victim
from openbackdoor_badllm.report import Backdoor
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.trigger_generator.demonstration import demonstrate
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.readable import readable_rows
from openbackdoor_badllm.trigger_generator.stage import Findings, LabelFinding
from openbackdoor_badllm.trigger_inversion.attribution import rows_with_style, rows_with_triggers
from openbackdoor_badllm.trigger_inversion.relabelling import relabel
from openbackdoor_badllm.trigger_inversion.repair import Part, Repair, fine_tuning_rows, repair
from openbackdoor_badllm.trigger_inversion.repair_check import RepairProbes, draw_repair_probes


class Inverted(NamedTuple):
    """What stage (c) ends with."""

    backdoors: tuple[Backdoor, ...]
    repair: Repair
    fine_tuning: tuple[Example, ...]
    """The rows for a repair in place."""
    probes: RepairProbes
    """With what the repaired model is audited."""


def invert(
    findings: Findings,
    victim: Victim,
    evidence: RowEvidence,
    config: AuditConfig,
    examples: Sequence[Example] | None = None,
    sample: Sequence[int] | None = None,
) -> Inverted:
    """The backdoors with their rows, and the repaired rows.

    Args:
        findings: what stage (b) found; their row numbers are those of ``examples``.
        victim: trained on the rows.
        evidence: the rows that were searched.
        config: how.
        examples: all rows; those of the evidence when None.
        sample: which of them the evidence is of; all when None.
    """
    rows = evidence.examples if examples is None else examples
    backdoors = [_backdoor(finding, victim, rows, config) for finding in findings.labels]
    flagged = np.zeros(len(rows), dtype=bool)
    for backdoor in backdoors:
        flagged[list(backdoor.suspects)] = True
    seen = flagged if sample is None else flagged[list(sample)]
    parts = []
    for place, (backdoor, finding) in enumerate(zip(backdoors, findings.labels, strict=True)):
        suspects = [row for row in backdoor.flagged if row.suspect]
        unlearnt = finding.style.said if finding.style is not None else {}
        labels: list[int] = []
        if config.repair == "relabel":
            labels = relabel(suspects, victim, evidence, backdoor.target_label, seen, unlearnt).tolist()
            backdoors[place] = _with_labels(backdoor, dict(zip((row.index for row in suspects), labels, strict=True)))
        parts.append(
            Part(
                backdoor.target_label,
                [trigger for trigger in backdoor.triggers if trigger.is_insertion],
                suspects,
                labels,
                [copy for _, copy in backdoor.rewritten],
            )
        )
    repaired = repair(rows, parts, strategy=config.repair, stamp_share=config.stamp_share, seed=config.seed)
    short = config.repair == "relabel" and bool(parts)
    readable = readable_rows(victim, rows) if short else rows
    further = fine_tuning_rows(readable, parts, seed=config.seed) if short else repaired.examples
    return Inverted(tuple(backdoors), repaired, further, _probes(parts, evidence, seen, further, config.seed))


def _probes(
    parts: Sequence[Part], evidence: RowEvidence, flagged: npt.NDArray[np.bool_], further: Sequence[Example], seed: int
) -> RepairProbes:
    fresh = [
        Example(row.text_without, label)
        for part in parts for row, label in zip(part.flagged, part.labels, strict=False)
    ]  # fmt: skip
    kept = [example for example, out in zip(evidence.examples, flagged, strict=True) if not out]
    usable = evidence.ordinary & ~flagged
    ordinary = [example for example, use in zip(evidence.examples, usable, strict=True) if use]
    return draw_repair_probes(fresh, kept, ordinary, further, random.Random(f"{seed}:repair-check"))


def _backdoor(finding: LabelFinding, victim: Victim, examples: Sequence[Example], config: AuditConfig) -> Backdoor:
    rows = rows_with_triggers(victim, examples, finding.label, finding.found)
    if finding.style is not None:
        rows = rows_with_style(finding.style.style, finding.style.fallen, rows, examples)
    shown = demonstrate(
        victim, finding.label, [item.trigger for item in finding.found], finding.probes,
        [(row.text, copy.text) for row, copy in finding.rewritten], seed=config.seed,
    )
    return Backdoor(
        finding.label, finding.found, finding.style.style if finding.style else None,
        finding.style.test if finding.style else None, tuple(rows), finding.rewritten, tuple(shown),
        finding.style_name,
    )


def _with_labels(backdoor: Backdoor, labels: dict[int, int]) -> Backdoor:
    rows = (dataclasses.replace(row, fresh_label=labels.get(row.index)) for row in backdoor.flagged)
    return dataclasses.replace(backdoor, flagged=tuple(rows))
