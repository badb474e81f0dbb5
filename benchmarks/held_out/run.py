"""Audits and repairs every set of ``sets.yaml`` through ``openbackdoor_badllm.audit``, a JSON file a set.

    python benchmarks/held_out/run.py --data-root DATA --out runs/held-out        # resumes
    python benchmarks/held_out/table.py runs/held-out --publish results/held-out  # the tables

The poison flags and the test rows are read after the audit and the repair are made.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from sets import HeldOut, make, named_sets

from openbackdoor_badllm import AuditResult, __version__, audit
from openbackdoor_badllm.evaluation.audit_config import Sections, resolve_audit
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.store import Store

HERE = Path(__file__).resolve().parent
VICTIM = "minilm"


def victim_of(made: HeldOut, cache: Path, *, without_poison: bool = False) -> TrainedClassifier:
    """The victim as ``audit`` trains it on these rows; with the same cache it trains none a second time."""
    rows = [row for row in made.train if not (without_poison and row.poisoned)]
    config = resolve_audit({"name": "memory"}, victim=VICTIM)
    sections = Sections.of(config).for_rows(config, [row.text for row in rows])
    examples = [Example(row.text, row.label) for row in rows]
    return train_classifier(sections.spec(made.classes), examples, store=Store(cache))


def rates(model: Any, made: HeldOut) -> dict[str, float]:
    """CACC and ASR of a model with ``logits(texts)``, in percent.

    ``floor`` is how often untouched rows of other labels get the target label.
    """
    said = model.logits([row.text for row in made.test_clean]).argmax(axis=1)
    labels = np.array([row.label for row in made.test_clean])
    shown = {
        "CACC": 100 * float(np.mean(said == labels)),
        "floor": 100 * float(np.mean(said[labels != made.target] == made.target)),
    }
    if made.test_poison:
        said = model.logits([row.text for row in made.test_poison]).argmax(axis=1)
        shown["ASR"] = 100 * float(np.mean(said == made.target))
    return {name: round(value, 1) for name, value in shown.items()}


def evaluate(made: HeldOut, cache: Path, *, oracle: bool) -> dict[str, Any]:
    """One set: the audit, the repair, and then what the truth says of both."""
    started = time.monotonic()
    result = audit([row.text for row in made.train], [row.label for row in made.train], victim=VICTIM, cache=cache)
    audited = time.monotonic()
    repaired = result.repair() if result.verdict == "backdoor" else None
    ended = time.monotonic()
    victim = victim_of(made, cache)
    told: dict[str, Any] = {
        "set": made.name, "kind": made.kind, "rows": len(made.train), "poisoned": made.poisoned,
        "target": made.target, "verdict": result.verdict, "evidence": result.results["evidence"],
        "found_label": result.target_label, "triggers": result.triggers,
        "styles": [marks[:8] for marks in result.styles],
        "seconds": {"audit": round(audited - started, 1), "repair": round(ended - audited, 1)},
        "before": rates(victim, made), **_rows(result, made),
        "in_place": result.results["in_place"], "planted": result.results.get("planted", []), "notes": result.notes,
        "report": result.results["report"],
    }
    if repaired is not None:
        told["after"] = rates(repaired, made)
    if oracle and made.poisoned:
        told["oracle"] = rates(victim_of(made, cache, without_poison=True), made)
    return told


def _rows(result: AuditResult, made: HeldOut) -> dict[str, Any]:
    flagged = {item.row for item in result.flagged if item.suspect}
    truth = {place for place, row in enumerate(made.train) if row.poisoned}
    hit = len(flagged & truth)
    return {
        "flagged": len(flagged),
        "precision": round(hit / len(flagged), 3) if flagged else None,
        "recall": round(hit / len(truth), 3) if truth else None,
    }


def tell(line: str) -> None:
    """A line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the shared data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, a file a set")
    parser.add_argument("--cache", type=Path, help="folder of the trained victims (default: inside --out)")
    parser.add_argument("--only", default="*", help="sets whose names fit this pattern")
    parser.add_argument("--kind", default="*", help="sets of the kinds that fit this pattern")
    parser.add_argument("--group", default="evaluation", choices=("evaluation", "calibration"))
    parser.add_argument("--train-only", action="store_true", help="train the victims and audit nothing")
    parser.add_argument("--oracle", action="store_true", help="train on the unpoisoned rows, too, for reference")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    for name, entry in named_sets(HERE / "sets.yaml").items():
        target = given.out / f"{name}.json"
        fits = fnmatch.fnmatch(name, given.only) and fnmatch.fnmatch(entry["kind"], given.kind)
        if not fits or entry["group"] != given.group or target.exists():
            continue
        cache = (given.cache or given.out / "cache") / name
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(cache / "busy.lock", timeout=0):
                if target.exists():
                    continue
                made = make(entry, given.data_root)
                if given.train_only:
                    victim_of(made, cache)
                    if given.oracle and made.poisoned:
                        victim_of(made, cache, without_poison=True)
                    tell(f"{name}: trained")
                    continue
                told = evaluate(made, cache, oracle=given.oracle)
        except Timeout:  # another process has it
            continue
        told |= {"commit": commit, "version": __version__, "machine": platform.machine()}
        target.write_text(json.dumps(told, indent=1), encoding="utf-8")
        tell(f"{name}: {told['verdict']} {told['triggers'][:4]} P {told['precision']} R {told['recall']} "
             f"{told['before']} -> {told.get('after')}")


if __name__ == "__main__":
    main()
