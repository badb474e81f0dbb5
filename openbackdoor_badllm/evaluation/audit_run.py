"""The other main job: one's own rows, and one's own classifier where there is one. No attack is planted.

It answers the four questions (is there a backdoor, which label, which trigger, which rows) and leaves the repaired
rows and a clean model beside the answers. Nothing is known of the truth here, so nothing is said of it. The command
line and the Python function ``audit`` both go through :class:`AuditRun`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.attacks.metrics import accuracy
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.evaluation.audit_config import Sections, resolve_audit
from openbackdoor_badllm.evaluation.audit_notes import notes_of, repair_notes
from openbackdoor_badllm.evaluation.audit_rows import AuditRows, load_rows
from openbackdoor_badllm.evaluation.audit_scan import scan_notes, scan_results, scan_rows, verdict_with
from openbackdoor_badllm.evaluation.audit_victim import Given, Named, clean_model, open_victim, sampled
from openbackdoor_badllm.evaluation.clean_folder import rows_as_jsonl, save_clean
from openbackdoor_badllm.evaluation.finding_files import (
    FlaggedRecord,
    flagged_records,
    search_history,
    write_findings,
)
from openbackdoor_badllm.evaluation.folder import MODEL, PLAN, REPAIRED, RESULTS, TRANSCRIPT, RunFolder, versions
from openbackdoor_badllm.evaluation.given_model import examine
from openbackdoor_badllm.evaluation.measuring import DEFENDED, UNDEFENDED
from openbackdoor_badllm.evaluation.standard_input import located
from openbackdoor_badllm.protocols import Classifier, Victim
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Row, blind
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.trigger_inversion.in_place import RepairPlan, check_repair

__all__ = ["SCHEMA_VERSION", "AuditRun", "Outcome", "accuracy_line", "resolve_audit"]

SCHEMA_VERSION = "1.1"
"""Of the audit's JSON. A new key raises the second number, a key that is dropped or means another thing the first."""


@dataclass(frozen=True)
class Outcome:
    """What an audit ends with, the models included.

    Attributes:
        rows: what was audited.
        report: what was found.
        results: the same as JSON.
        records: the flagged rows in a reader's terms.
        plan: what a repair in place needs; None where nothing is to be repaired.
        victim: the victim.
        clean: the clean model; None where none was made.
    """

    rows: AuditRows
    report: AuditReport
    results: dict[str, Any]
    records: list[FlaggedRecord]
    plan: RepairPlan | None
    victim: Victim
    clean: TrainedClassifier | None

    @property
    def search(self) -> list[dict[str, Any]]:
        """Every candidate that reached the last round."""
        return search_history(self.report)

    def write(self, folder: RunFolder) -> None:
        """Fills a run's folder; ``results.json`` comes last."""
        names = self.rows.label_names
        if self.plan is not None:
            folder.write(REPAIRED, rows_as_jsonl(self.report.repair.examples, names))
            folder.write_json(PLAN, self.plan.to_dict())
            self.results["files"] = {"rows": REPAIRED}
        if self.clean is not None:
            self.results["files"]["model"] = MODEL
            save_clean(self.clean, folder.path / MODEL, names, self.results)
        write_findings(folder, self.records, self.search)
        folder.write_json(RESULTS, self.results)


@dataclass
class AuditRun:
    """An audit, ready to run.

    Attributes:
        config: as :func:`resolve_audit` gives it.
        store: where trained victims are kept; nowhere when None.
        progress: listener.
        table: the training rows, where they are in memory.
        given: the victim, where it is in memory; else ``config`` may name one.
    """

    config: dict[str, Any]
    store: Store | None = None
    progress: Progress = field(default_factory=Quiet)
    table: Table | None = None
    given: Given | None = None

    def run(self, folder: RunFolder) -> dict[str, Any]:
        """Runs it and fills the folder; an audit that came to its end before is returned as it is.

        Raises:
            DataError: the rows cannot be used.
            VictimError: a model cannot be loaded, or does not fit the rows.
        """
        finished = folder.finished()
        if finished is not None:
            return finished
        self.config = located(self.config, folder.path)
        with folder.log():
            outcome = self.audit(transcript=folder.path / TRANSCRIPT)
            outcome.write(folder)
        return folder.finished() or outcome.results

    def audit(self, *, transcript: Path | None = None) -> Outcome:
        """The audit itself; writes nothing but the dialogue with a language model.

        Raises:
            DataError: the rows cannot be used.
            VictimError: a model cannot be loaded, or does not fit the rows.
        """
        started, deadline = time.monotonic(), Deadline(self.config.get("time_limit"))
        sections = Sections.of(self.config)
        given = self.given or (Named(self.config["model"]) if self.config["model"] else None)
        names = given.label_names if given is not None else None
        more = self.config.get("more_files", ())
        rows = load_rows(self.config["rows"], more_files=more, names=names, table=self.table)
        sample, keys = sampled(self.config, rows), self.config["victim"]
        sections = sections.for_rows(self.config, [row.text for row in rows.train])
        victim = open_victim(sections, rows, sample, given, keys, store=self.store, progress=self.progress)
        name = str(self.config["model"] or "in memory") if given is not None else None
        known = examine(victim, blind(rows.train), rows.info, given=name)
        report = self._defender(sections, rows, victim, transcript).audit(
            blind(rows.train), victim, rows.info.num_classes, sample=sample, deadline=deadline
        )
        plan = RepairPlan.of(report) if report.backdoor and sections.defender.repair != "none" else None
        clean = None
        if plan is not None and self.config.get("repair_model", True) and not deadline.passed:
            clean = clean_model(
                sections, rows.info.num_classes, victim, plan, report.repair.examples,
                from_scratch=sections.defender.from_scratch, store=self.store, progress=self.progress,
            )
        self.progress.stage("scan of the raw text")
        scanned = scan_rows(rows, victim, sections.seed)
        results = self._results(sections, rows, report)
        results |= {"verdict": verdict_with(scanned, report).value, "scan": scan_results(scanned)}
        results |= known
        results["in_place"] = isinstance(victim, TrainedClassifier) and not sections.defender.from_scratch
        results["notes"] = notes_of(
            report, rows, sample=sample, deadline=deadline, askable_only=not isinstance(victim, TrainedClassifier),
            unrepaired=plan is not None and clean is None and self.config.get("repair_model", True),
        )
        results["notes"] += scan_notes(scanned, report)
        searched = len(rows.train if sample is None else sample)
        results["rows_searched"] = searched
        results["lines"] = [
            accuracy_line(name, model, rows.test, count)
            for name, model, count in ((UNDEFENDED, victim, searched), (DEFENDED, clean, len(report.repair.examples)))
            if model is not None and rows.test
        ]
        if clean is not None and plan is not None:
            results |= after_repair(plan, victim, clean, sections)
            results["notes"] += repair_notes(
                results, rows.label_names, sections.defender.thresholds.repaired_flip_rate
            )
        results["seconds"] = round(time.monotonic() - started, 1)
        records = flagged_records(report, rows.train, rows.label_names, rows.places)
        return Outcome(rows, report, results, records, plan, victim, clean)

    def _defender(
        self, sections: Sections, rows: AuditRows, victim: Victim, transcript: Path | None
    ) -> BadLLMTG:
        keys = dict(self.config["defender"])
        if not isinstance(victim, TrainedClassifier):  # the test of a style trains the victim further
            keys["search"] = {**(keys.get("search") or {}), "style": False}
        defender = BadLLMTG(**keys)
        defender.store, defender.progress, defender.transcript = self.store, self.progress, transcript
        defender.attach(sections.victim, sections.train)
        defender.num_classes = rows.info.num_classes
        return defender

    def _results(self, sections: Sections, rows: AuditRows, report: AuditReport) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": report.verdict.value,
            "complete": not (report.unsearched or report.unasked),
            "dataset": rows.name,
            "rows": len(rows.train),
            "test_rows": len(rows.test),
            "label_names": list(rows.label_names),
            "label_index": dict(rows.info.label_index),
            "victim": sections.spec(rows.info.num_classes).path,
            "model": self.config["model"],
            "defender": "badllmtg",
            "report": report.to_dict(),
            "versions": versions(),
            "seed": self.config["seed"],
        }


def after_repair(
    plan: RepairPlan, victim: Classifier | None, clean: Classifier, sections: Sections
) -> dict[str, Any]:
    """What the triggers, and whatever else the repaired rows share, do to the clean model."""
    check = check_repair(victim, clean, plan, sections.defender)
    return {
        "after_repair_flip_rate": {trigger: round(rate, 4) for trigger, rate in check.flip_rates.items()},
        "planted": [
            {"pattern": pattern, "label": label, "grown": round(grown, 4)}
            for pattern, (label, grown) in check.planted.items()
        ],
    }


def accuracy_line(name: str, classifier: Classifier, rows: Sequence[Row], train_rows: int) -> dict[str, Any]:
    """The accuracy of one model on the test rows."""
    said = classifier.logits([row.text for row in rows]).argmax(axis=1)
    return {"name": name, "CACC": round(accuracy(said, rows), 4), "train_rows": train_rows}
