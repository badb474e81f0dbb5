"""Figures of a run: CACC, ASR and R-Acc of each victim, detection rates, and the report against the truth.

An evaluation, which alone may read the poison flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openbackdoor_badllm.attacks.attacker import Attacker, Evaluation
from openbackdoor_badllm.attacks.metrics import auroc
from openbackdoor_badllm.attacks.poisoner import inserted_triggers
from openbackdoor_badllm.attacks.variants import variant_texts
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender, detection_rates
from openbackdoor_badllm.evaluation.folder import TRACE, RunFolder
from openbackdoor_badllm.rows import Row, as_rows

UNDEFENDED, DEFENDED, ORACLE, CLEAN = "undefended", "defended", "oracle filter", "trained on clean rows"


def rounded(line: Mapping[str, Any]) -> dict[str, Any]:
    """One victim's figures for ``results.json``, without those that it does not have.

    Args:
        line: ``name``; ``CACC``: accuracy on clean test rows; ``ASR``: share of poisoned test rows called the target
            label; ``R-Acc``: accuracy on poisoned test rows against their original labels; ``train_rows``;
            ``seconds`` of all of it: defence, training (little where the victim was found trained), evaluation;
            ``peak_memory_mb``, ``peak_gpu_memory_mb``: MiB at the highest; ``defence_seconds``: of the defence alone;
            FRR, FAR, AUROC of a defence that flags, and the figures over the rows that it let through; ``variants``:
            share of test texts called the target label with a variant of the trigger, by its name; empty where the
            trigger cannot be inserted, or where a defence stands before the victim.
    """
    digits = {"seconds": 1, "peak_memory_mb": 1, "peak_gpu_memory_mb": 1, "defence_seconds": 2}
    told: dict[str, Any] = {}
    for key, value in line.items():
        if isinstance(value, float):
            told[key] = round(value, digits.get(key, 4))
        elif isinstance(value, dict):
            told |= {key: {name: round(share, 4) for name, share in value.items()}} if value else {}
        elif value is not None:
            told[key] = value
    return told


def variant_figures(attack: Mapping[str, Any], victim: Any, data: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """ASR with variants of the trigger of a section ``attacker.poisoner``, the same on any host."""
    target = int(attack["target_label"])
    texts = variant_texts(
        inserted_triggers(str(attack["name"]).lower(), attack.get("triggers")),
        as_rows(data["test"]),
        target_label=target,
        seed=int(attack.get("seed", 42)),
    )
    return {name: float((victim.logits(put).argmax(axis=1) == target).mean()) for name, put in texts.items() if put}


def defence_told(defender: Defender) -> dict[str, Any]:
    """What the defence was given and what it says of its work."""
    return {
        "stage": defender.stage,
        "outcome": defender.outcome,
        "evaluation_only": defender.evaluation_only,
        "clean_rows_needed": defender.clean_rows_needed,
        "trains_model": defender.trains_model,
        "needs_llm": defender.needs_llm,
        "details": defender.details,
    }


def filter_figures(defender: Defender, rows: Sequence[Row]) -> dict[str, float]:
    """FRR, FAR and AUROC of a filter over the training rows: an evaluation, which alone may read the poison flags."""
    if defender.last_flags is None:
        return {}
    poisoned = np.array([row.poison_label for row in rows], dtype=bool)
    found = detection_rates(defender.last_flags, poisoned)
    if defender.last_scores is not None:
        found["AUROC"] = auroc(np.asarray(defender.last_scores, dtype=np.float64), poisoned)
    return found


def truth_of(defender: BadLLMTG, rows: Sequence[Row], attacker: Attacker) -> dict[str, Any]:
    """How right the report is: an evaluation, which alone may read the poison flags."""
    report = defender.report
    if report is None:
        return {}
    flags = np.array([row.poison_label for row in rows])
    named = [item.index for item in report.flagged if item.probability >= 0.5]
    hits = int(flags[named].sum()) if named else 0
    return {
        "target_label_right": report.target_label == attacker.poisoner.target_label,
        "false_labels": [
            backdoor.target_label
            for backdoor in report.backdoors
            if backdoor.target_label != attacker.poisoner.target_label
        ],
        "poisoned_rows": int(flags.sum()),
        "flagged_rows": len(named),
        "flagged_precision": round(hits / len(named), 4) if named else float("nan"),
        "flagged_recall": round(hits / flags.sum(), 4) if flags.sum() else float("nan"),
    }


def write_trace(folder: RunFolder, defender: BadLLMTG, rows: Sequence[Row]) -> None:
    """Keeps the victim's confidence trace for the report's picture, with the flags that an evaluation may read.

    Arrays: ``steps`` (T,), ``confidence`` (T, n), ``labels`` (n,), ``poisoned`` (n,): 1 for a poisoned row.
    """
    report = defender.report
    if report is None or report.trace is None:
        return
    flags = np.array([row.poison_label for row in rows], dtype=np.int8)
    folder.write_arrays(
        TRACE,
        steps=report.trace.steps,
        confidence=report.trace.confidence,
        labels=report.trace.labels,
        poisoned=flags,
    )


def prediction_table(
    evaluations: Mapping[str, Evaluation],
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Header and rows of ``predictions.csv``: every test row with the answer of each victim."""
    names = list(evaluations)
    header = ("split", "row", "label", "poison_label", *names, "text")
    table: list[tuple[object, ...]] = []
    if not names:
        return header, table
    first = evaluations[names[0]]
    for split, rows in first.rows.items():
        columns = [evaluations[name].predictions[split] for name in names]
        for index, row in enumerate(rows):
            # A defence that drops test rows leaves a column of another length: whose answer is whose, nobody knows.
            predictions = [int(column[index]) if len(column) == len(rows) else "" for column in columns]
            table.append((split, index, row.label, row.poison_label, *predictions, row.text))
    return header, table
