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

from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.engine.progress import Progress, Quiet
from openbackdoor_badllm.engine.store import Store
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.host import BUILTIN, Host, open_host
from openbackdoor_badllm.host.builtin.attacker import Attacker, Evaluation
from openbackdoor_badllm.host.builtin.data.checks import require_label
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.reading import apply_overrides, check_seed, put, refuse_unknown, want_section
from openbackdoor_badllm.rows import Row, as_rows
from openbackdoor_badllm.run.folder import RunFolder, versions
from openbackdoor_badllm.run.profiles import apply_profile

logger = logging.getLogger(__name__)

SECTIONS = (
    "target_dataset", "poison_dataset", "victim", "attacker", "defender", "clean-tune", "train", "seed", "profile",
)
TRANSCRIPT = "transcript.jsonl"
UNDEFENDED, DEFENDED, ORACLE, CLEAN = "undefended", "defended", "oracle filter", "trained on clean rows"


@dataclass
class Line:
    """One victim's figures.

    Attributes:
        cacc: accuracy on clean test rows.
        asr: share of poisoned test rows that it calls the target label.
        racc: accuracy on poisoned test rows against their original labels.
        rows: its training rows.
    """

    name: str
    cacc: float
    asr: float
    racc: float
    rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "name": self.name,
            "CACC": round(self.cacc, 4),
            "ASR": round(self.asr, 4),
            "R-Acc": round(self.racc, 4),
            "train_rows": self.rows,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Experiment:
    """A config, ready to run.

    Attributes:
        config: as resolved: profile, overrides, data root and seeds written in.
        references: also train the two reference victims.
        host: whose attacker, victim and trainer; the built-in ones.
    """

    config: dict[str, Any]
    references: bool = True
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

        def evaluate(name: str, rows: Sequence[Any], test_defender: Defender | None = None) -> None:
            self.progress.stage(f"victim: {name} ({len(rows)} rows)")
            begun = time.monotonic()
            victim = attacker.train(host.load_victim(config["victim"]), {**poisoned, "train": list(rows)})
            scores = attacker.eval(victim, target_data, test_defender)
            evaluations[name] = attacker.evaluation
            lines.append(
                Line(
                    name,
                    scores["test-clean"]["accuracy"],
                    scores["test-poison"]["accuracy"],
                    _racc(attacker.evaluation, attacker.poisoner.target_label),
                    len(rows),
                    time.monotonic() - begun,
                )
            )

        evaluate(UNDEFENDED, poisoned["train"])
        if defender is not None:
            if isinstance(defender, BadLLMTG):
                defender.attach(host.load_victim(config["victim"]).config, attacker.poison_trainer.config)
                defender.num_classes = config["victim"]["num_classes"]
                defender.transcript = folder.path / TRANSCRIPT
            if defender.pre:
                begun = time.monotonic()
                repaired = defender.correct(poison_data=poisoned["train"])
                spent = time.monotonic() - begun
                evaluate(DEFENDED, repaired)
                lines[-1].seconds += spent
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
        if isinstance(defender, BadLLMTG) and defender.report is not None:
            results["report"] = defender.report.to_dict()
            results["truth"] = _truth(defender, as_rows(poisoned["train"]), attacker)
            self._write_rows(folder, defender, as_rows(poisoned["train"]))
        results["seconds"] = round(time.monotonic() - started, 1)
        folder.write_csv("predictions.csv", *_prediction_table(evaluations))
        folder.write_json("results.json", results)
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

    @staticmethod
    def _write_rows(folder: RunFolder, defender: BadLLMTG, rows: Sequence[Row]) -> None:
        report = defender.report
        if report is None:
            return
        folder.write_csv(
            "explained.csv",
            ("row", "probability", "trigger", "label", "text", "text_without_trigger"),
            (
                (
                    item.index,
                    round(item.probability, 4),
                    " | ".join(trigger.text for trigger in item.triggers),
                    rows[item.index].label,
                    rows[item.index].text,
                    item.text_without,
                )
                for item in report.explained
            ),
        )
        folder.write_json(
            "search.json",
            [
                {
                    "label": result.target,
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
        LLMConfig.from_mapping(defender["llm"])  # a literal API key is refused before anything is written
    return resolved


def _racc(evaluation: Evaluation, target_label: int) -> float:
    """Accuracy on the poisoned test rows against the labels that they had; nan where rows were dropped."""
    originals = [row.label for row in evaluation.rows["test-clean"] if row.label != target_label]
    predictions = evaluation.predictions["test-poison"]
    if len(originals) != len(predictions) or not originals:
        return float("nan")
    return float((predictions == np.array(originals)).mean())


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
        "poisoned_rows": int(flags.sum()),
        "explained_rows": len(named),
        "explained_precision": round(hits / len(named), 4) if named else float("nan"),
        "explained_recall": round(hits / flags.sum(), 4) if flags.sum() else float("nan"),
    }


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


