"""The main job: attack, defend, evaluate, from one config.

Four lines come out of a run: the victim without a defence, the victim after the defence, and two references that
only an evaluation can have: a victim trained on the clean rows (the floor of the ASR), and one trained without the
poisoned rows (what a perfect filter reaches).
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openbackdoor_badllm.attacks.attacker import Attacker, Evaluation
from openbackdoor_badllm.attacks.metrics import auroc
from openbackdoor_badllm.attacks.poisoner import inserted_triggers
from openbackdoor_badllm.attacks.variants import variant_texts
from openbackdoor_badllm.data.checks import require_label
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender, detection_rates
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.finding_files import write_findings
from openbackdoor_badllm.evaluation.folder import PREDICTIONS, RESULTS, TRACE, TRANSCRIPT, RunFolder, versions
from openbackdoor_badllm.evaluation.profiles import apply_profile
from openbackdoor_badllm.evaluation.usage import PeakMemory
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host, open_host
from openbackdoor_badllm.reading import apply_overrides, check_seed, put, refuse_unknown, want_section
from openbackdoor_badllm.rows import Row, as_rows
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.store import Store

logger = logging.getLogger(__name__)

SECTIONS = (
    "target_dataset", "poison_dataset", "victim", "attacker", "defender", "clean-tune", "train", "seed", "profile",
)
UNDEFENDED, DEFENDED, ORACLE, CLEAN = "undefended", "defended", "oracle filter", "trained on clean rows"


@dataclass
class Line:
    """One victim's figures.

    Attributes:
        cacc: accuracy on clean test rows.
        asr: share of poisoned test rows that it calls the target label.
        racc: accuracy on poisoned test rows against their original labels.
        rows: its training rows.
        seconds: all of it: defence, training (little where the victim was found trained), evaluation.
        memory: MiB of the process at the highest, in the making of this line.
        gpu_memory: the same of the GPU; None without one.
        defence_seconds: what the defence alone took; None without one.
        detection: FRR, FAR, AUROC of a defence that flags, and the figures over the rows that it let through.
        variants: share of test texts called the target label with a variant of the trigger, by its name; empty where
            the trigger cannot be inserted, or where a defence stands before the victim.
    """

    name: str
    cacc: float
    asr: float
    racc: float
    rows: int
    seconds: float
    memory: float = 0.0
    gpu_memory: float | None = None
    defence_seconds: float | None = None
    detection: dict[str, float] = field(default_factory=dict)
    variants: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "name": self.name,
            "CACC": round(self.cacc, 4),
            "ASR": round(self.asr, 4),
            "R-Acc": round(self.racc, 4),
            "train_rows": self.rows,
            "seconds": round(self.seconds, 1),
            "peak_memory_mb": round(self.memory, 1),
            **({} if self.gpu_memory is None else {"peak_gpu_memory_mb": round(self.gpu_memory, 1)}),
            **({} if self.defence_seconds is None else {"defence_seconds": round(self.defence_seconds, 2)}),
            **{name: round(value, 4) for name, value in self.detection.items()},
            **({"variants": {name: round(v, 4) for name, v in self.variants.items()}} if self.variants else {}),
        }


@dataclass
class Experiment:
    """A config, ready to run.

    Attributes:
        config: as resolved: profile, overrides, data root and seeds written in.
        references: also train the two reference victims.
        undefended: also measure the victim without the defence; false where another run of the same pair has it.
        host: whose attacker, victim and trainer; the built-in ones.
    """

    config: dict[str, Any]
    references: bool = True
    undefended: bool = True
    store: Store | None = None
    progress: Progress = field(default_factory=Quiet)
    host: Host = field(default_factory=open_host)

    def run(self, folder: RunFolder) -> dict[str, Any]:
        """Runs it and fills the folder; a run that came to its end before is returned as it is."""
        finished = folder.finished()
        if finished is not None:
            return finished
        with folder.log():
            results = self._run(folder)
        return folder.finished() or results  # as a second call will give it: nan has become null

    def _run(self, folder: RunFolder) -> dict[str, Any]:
        started = time.monotonic()
        host = self.host
        config = host.set_config(copy.deepcopy(self.config))
        defender = self._defender(config)  # its keys are checked before any data is looked for
        attacker = self._attacker(config)
        # A victim that cannot be loaded is told before the data is read, and the hub is asked once about "auto".
        config["victim"]["path"] = host.load_victim(config["victim"]).path
        data = host.load_dataset(**config["poison_dataset"])
        same = config["poison_dataset"] == config["target_dataset"]
        target_data = data if same else host.load_dataset(**config["target_dataset"])
        if config["victim"].get("num_classes") is None:
            config["victim"]["num_classes"] = data.info.num_classes
        require_label(data["train"], attacker.poisoner.target_label, what="the training rows")
        poisoned = attacker.poison(host.load_victim(config["victim"]), data, "train")

        lines: list[Line] = []
        evaluations: dict[str, Evaluation] = {}

        def evaluate(name: str, rows: Sequence[Any], test_defender: Defender | None = None) -> Line:
            self.progress.stage(f"victim: {name} ({len(rows)} rows)")
            begun = time.monotonic()
            with PeakMemory() as peak:
                victim = attacker.rebuild(
                    host.load_victim(config["victim"]), {**poisoned, "train": list(rows)}, test_defender
                )
                scores = attacker.eval(victim, target_data, test_defender)
            before = test_defender is not None and not test_defender.changes_model  # it stands before the victim
            detector = test_defender is not None and test_defender.outcome == "rejected rows"
            figures = attacker.evaluation.figures(detector=detector)
            evaluations[name] = attacker.evaluation
            line = Line(
                name,
                scores["test-clean"]["accuracy"],
                scores["test-poison"]["accuracy"],
                figures.pop("R-Acc"),
                len(rows),
                time.monotonic() - begun,
                peak.host,
                peak.gpu,
                None if test_defender is None else attacker.evaluation.seconds,
                figures,
                {} if before else _variants(config["attacker"]["poisoner"], victim, target_data),
            )
            lines.append(line)
            return line

        if self.undefended or defender is None:
            evaluate(UNDEFENDED, poisoned["train"])
        if defender is not None:
            victim_config = host.load_victim(config["victim"]).config.replace(
                num_classes=config["victim"]["num_classes"]
            )
            defender.attach(victim_config, attacker.poison_trainer.config)
            if isinstance(defender, BadLLMTG):
                defender.num_classes = config["victim"]["num_classes"]
                defender.transcript = folder.path / TRANSCRIPT
            if defender.pre:
                begun = time.monotonic()
                with PeakMemory() as peak:
                    repaired = defender.correct(
                        poison_data=poisoned["train"], **({"clean_data": data} if defender.evaluation_only else {})
                    )
                spent = time.monotonic() - begun
                line = evaluate(DEFENDED, repaired)
                line.seconds += spent
                line.defence_seconds = spent
                line.memory = max(line.memory, peak.host)
                line.gpu_memory = max(line.gpu_memory or 0.0, peak.gpu) if peak.gpu is not None else line.gpu_memory
                line.detection = _filtered(defender, as_rows(poisoned["train"]))
            else:
                evaluate(DEFENDED, poisoned["train"], defender)
        if self.references:
            flags = [row.poison_label for row in as_rows(poisoned["train"])]
            evaluate(ORACLE, [row for row, flag in zip(poisoned["train"], flags, strict=True) if not flag])
            evaluate(CLEAN, data["train"])

        results: dict[str, Any] = {
            "dataset": config["poison_dataset"]["name"],
            "poisoner": attacker.poisoner.name,
            "poison_rate": attacker.poisoner.poison_rate,
            "setting": attacker.poisoner.poison_setting,
            "target_label": attacker.poisoner.target_label,
            "victim": host.load_victim(config["victim"]).path,
            "defender": defender.name if defender else None,
            "label_names": list(data.info.label_names),
            "lines": [line.to_dict() for line in lines],
            "host": host.name,
            "versions": versions() if host.name == BUILTIN else {**versions(), "openbackdoor": host.revision},
            "seed": config.get("seed"),
        }
        if defender is not None:
            results["defence"] = _told(defender)
        if isinstance(defender, BadLLMTG) and defender.report is not None:
            results["report"] = defender.report.to_dict()
            results["truth"] = _truth(defender, as_rows(poisoned["train"]), attacker)
            write_findings(folder, defender.report, as_rows(poisoned["train"]))
            _write_trace(folder, defender, as_rows(poisoned["train"]))
        results["seconds"] = round(time.monotonic() - started, 1)
        folder.write_csv(PREDICTIONS, *_prediction_table(evaluations))
        folder.write_json(RESULTS, results)
        return results

    def _attacker(self, config: dict[str, Any]) -> Attacker:
        attacker: Attacker = self.host.load_attacker(config["attacker"])
        attacker.poison_trainer.store = self.store
        attacker.poison_trainer.progress = self.progress
        return attacker

    def _defender(self, config: dict[str, Any]) -> Defender | None:
        if not config.get("defender"):
            return None
        defender: Defender = self.host.load_defender(config["defender"])
        defender.store, defender.progress = self.store, self.progress
        return defender


def resolve(
    config: Mapping[str, Any],
    *,
    profile: str = "full",
    overrides: Sequence[str] = (),
    data_root: Path | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The config as it will be run: profile, overrides, data root and seeds written into it.

    Raises:
        ConfigError: an unknown section, or a bad override.
    """
    refuse_unknown(config, SECTIONS, "config")
    resolved = apply_profile(dict(config), profile)
    for section in ("target_dataset", "poison_dataset", "attacker"):
        if not isinstance(resolved.get(section), dict):
            raise ConfigError(f"The config lacks the section '{section}'.")
    resolved.setdefault("victim", {})
    if data_root is not None:
        root = str(data_root)
        for section in ("target_dataset", "poison_dataset", "attacker.poisoner"):
            put(resolved, f"{section}.data_root", root)
    apply_overrides(resolved, overrides)
    refuse_unknown(resolved, SECTIONS, "config")  # an override may have added a section, or replaced one
    for section in ("target_dataset", "poison_dataset", "attacker", "victim"):
        want_section(section, resolved[section])
    want_section("defender", resolved.get("defender") or {})
    if resolved.get("clean-tune"):
        raise ConfigError("'clean-tune' is not done by the built-in host: set it to false.")
    if seed is not None:
        resolved["seed"] = seed
    chosen = resolved.setdefault("seed", 42)
    check_seed("seed", chosen)
    for path in ("target_dataset", "poison_dataset", "attacker.poisoner", "attacker.train", "defender"):
        section, _, part = path.partition(".")
        place = resolved.get(section)
        if isinstance(place, dict) and part:
            place = place.setdefault(part, {})
        if isinstance(place, dict) and place:
            place.setdefault("seed", chosen)
    resolved["profile"] = profile
    defender = resolved.get("defender")
    if isinstance(defender, dict) and isinstance(defender.get("llm"), dict):
        read(LLMConfig, defender["llm"], "defender.llm")  # a literal API key is refused before anything is written
    return resolved


def _variants(attack: Mapping[str, Any], victim: Any, data: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """ASR with variants of the trigger of a section ``attacker.poisoner``, the same on any host."""
    target = int(attack["target_label"])
    texts = variant_texts(
        inserted_triggers(str(attack["name"]).lower(), attack.get("triggers")),
        as_rows(data["test"]),
        target_label=target,
        seed=int(attack.get("seed", 42)),
    )
    return {name: float((victim.logits(put).argmax(axis=1) == target).mean()) for name, put in texts.items() if put}


def _told(defender: Defender) -> dict[str, Any]:
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


def _filtered(defender: Defender, rows: Sequence[Row]) -> dict[str, float]:
    """FRR, FAR and AUROC of a filter over the training rows: an evaluation, which alone may read the poison flags."""
    if defender.last_flags is None:
        return {}
    poisoned = np.array([row.poison_label for row in rows], dtype=bool)
    found = detection_rates(defender.last_flags, poisoned)
    if defender.last_scores is not None:
        found["AUROC"] = auroc(np.asarray(defender.last_scores, dtype=np.float64), poisoned)
    return found


def _truth(defender: BadLLMTG, rows: Sequence[Row], attacker: Attacker) -> dict[str, Any]:
    """How right the report is: an evaluation, which alone may read the poison flags."""
    report = defender.report
    if report is None:
        return {}
    flags = np.array([row.poison_label for row in rows])
    named = [item.index for item in report.explained if item.probability >= 0.5]
    hits = int(flags[named].sum()) if named else 0
    return {
        "target_label_right": report.target_label == attacker.poisoner.target_label,
        "false_labels": [
            finding.target_label
            for finding in report.findings
            if finding.backdoor and finding.target_label != attacker.poisoner.target_label
        ],
        "poisoned_rows": int(flags.sum()),
        "explained_rows": len(named),
        "explained_precision": round(hits / len(named), 4) if named else float("nan"),
        "explained_recall": round(hits / flags.sum(), 4) if flags.sum() else float("nan"),
    }


def _write_trace(folder: RunFolder, defender: BadLLMTG, rows: Sequence[Row]) -> None:
    """Keeps the probe's confidence trace for the report's picture, with the flags that an evaluation may read.

    Arrays: ``steps`` (T,), ``confidence`` (T, n), ``labels`` (n,), ``rows`` (n,): indices of the training rows,
    ``poisoned`` (n,): 1 for a poisoned row.
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
        rows=report.watched,
        poisoned=flags[report.watched],
    )


def _prediction_table(
    evaluations: Mapping[str, Evaluation],
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
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


