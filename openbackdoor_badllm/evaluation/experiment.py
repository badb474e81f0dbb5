"""One experiment: attack, defend and evaluate, from one config.

Four lines come out of a run: the victim without a defence, the victim after the defence, and two references that
only an evaluation can have: a victim trained on the clean rows (the floor of the ASR), and one trained without the
poisoned rows (what a perfect filter reaches).
"""

from __future__ import annotations

import copy
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.attacks.attacker import Attacker, Evaluation
from openbackdoor_badllm.data.checks import require_label
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.finding_files import flagged_records, search_history, write_findings
from openbackdoor_badllm.evaluation.folder import PREDICTIONS, RESULTS, TRANSCRIPT, RunFolder, versions
from openbackdoor_badllm.evaluation.measuring import (
    CLEAN,
    DEFENDED,
    ORACLE,
    UNDEFENDED,
    defence_told,
    filter_figures,
    prediction_table,
    rounded,
    truth_of,
    variant_figures,
    write_trace,
)
from openbackdoor_badllm.evaluation.profiles import apply_profile
from openbackdoor_badllm.evaluation.usage import PeakMemory
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.openbackdoor.host import BUILTIN, Host, open_host
from openbackdoor_badllm.reading import apply_overrides, check_seed, put, refuse_unknown, want_section
from openbackdoor_badllm.rows import as_rows
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.store import Store

logger = logging.getLogger(__name__)

SECTIONS = (
    "target_dataset", "poison_dataset", "victim", "attacker", "defender", "clean-tune", "train", "seed", "profile",
)
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
        bench = _Bench(host, config, attacker, target_data, poisoned, self.progress)
        if self.undefended or defender is None:
            bench.measure(UNDEFENDED, poisoned["train"])
        if defender is not None:
            bench.attach(defender, folder)
            bench.defend(defender, data)
        rows = as_rows(poisoned["train"])
        if self.references:
            flags = [row.poison_label for row in rows]
            bench.measure(ORACLE, [row for row, flag in zip(poisoned["train"], flags, strict=True) if not flag])
            bench.measure(CLEAN, data["train"])
        results = {**bench.told(data.info.label_names), "defender": defender.name if defender else None}
        if defender is not None:
            results["defence"] = defence_told(defender)
        if isinstance(defender, BadLLMTG) and defender.report is not None:
            results["report"] = defender.report.to_dict()
            results["truth"] = truth_of(defender, rows, attacker)
            records = flagged_records(defender.report, rows, data.info.label_names)
            write_findings(folder, records, search_history(defender.report))
            write_trace(folder, defender, rows)
        results["seconds"] = round(time.monotonic() - started, 1)
        folder.write_csv(PREDICTIONS, *prediction_table(bench.evaluations))
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


@dataclass
class _Bench:
    """One attack, on which victims are trained and measured.

    Attributes:
        target_data: what is evaluated on.
        poisoned: the splits of the poisoned data set.
    """

    host: Host
    config: dict[str, Any]
    attacker: Attacker
    target_data: Any
    poisoned: dict[str, list[Any]]
    progress: Progress
    lines: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)

    def measure(self, name: str, rows: Sequence[Any], test_defender: Defender | None = None) -> dict[str, Any]:
        """Trains a victim on the rows and evaluates it, behind a defender of the test time where one is given."""
        self.progress.stage(f"victim: {name} ({len(rows)} rows)")
        begun = time.monotonic()
        attacker = self.attacker
        with PeakMemory() as peak:
            victim = attacker.rebuild(
                self.host.load_victim(self.config["victim"]), {**self.poisoned, "train": list(rows)}, test_defender
            )
            scores = attacker.eval(victim, self.target_data, test_defender)
        before = test_defender is not None and not test_defender.changes_model  # it stands before the victim
        detector = test_defender is not None and test_defender.outcome == "rejected rows"
        figures = attacker.evaluation.figures(detector=detector)
        self.evaluations[name] = attacker.evaluation
        line = {
            "name": name,
            "CACC": scores["test-clean"]["accuracy"],
            "ASR": scores["test-poison"]["accuracy"],
            "R-Acc": figures.pop("R-Acc"),
            "train_rows": len(rows),
            "seconds": time.monotonic() - begun,
            "peak_memory_mb": peak.host,
            "peak_gpu_memory_mb": peak.gpu,
            "defence_seconds": None
            if test_defender is None
            else attacker.evaluation.seconds + attacker.rebuild_seconds,
            **figures,
            "variants": {}
            if before
            else variant_figures(self.config["attacker"]["poisoner"], victim, self.target_data),
        }
        self.lines.append(line)
        return line

    def attach(self, defender: Defender, folder: RunFolder) -> None:
        """Tells a defender of the victim and its training."""
        classes = self.config["victim"]["num_classes"]
        victim_config = self.host.load_victim(self.config["victim"]).config
        defender.attach(victim_config.replace(num_classes=classes), self.attacker.poison_trainer.config)
        if isinstance(defender, BadLLMTG):
            defender.num_classes = classes
            defender.transcript = folder.path / TRANSCRIPT

    def defend(self, defender: Defender, data: Any) -> None:
        """Measures the victim behind the defence, or trained on the rows that it has cleaned."""
        rows = self.poisoned["train"]
        if isinstance(defender, BadLLMTG):
            defender.class_names = data.info.label_names
        if not defender.pre:
            self.measure(DEFENDED, rows, defender)
            return
        begun = time.monotonic()
        with PeakMemory() as peak:
            repaired = defender.correct(
                poison_data=rows, **({"clean_data": data} if defender.evaluation_only else {})
            )
        spent = time.monotonic() - begun
        line = self.measure(DEFENDED, repaired)
        line["seconds"] += spent
        line["defence_seconds"] = spent
        line["peak_memory_mb"] = max(line["peak_memory_mb"], peak.host)
        if peak.gpu is not None:
            line["peak_gpu_memory_mb"] = max(line["peak_gpu_memory_mb"] or 0.0, peak.gpu)
        line |= filter_figures(defender, as_rows(rows))

    def told(self, label_names: Sequence[str]) -> dict[str, Any]:
        """The attack, its lines and the software, for ``results.json``."""
        host, poisoner = self.host, self.attacker.poisoner
        return {
            "dataset": self.config["poison_dataset"]["name"],
            "poisoner": poisoner.name,
            "poison_rate": poisoner.poison_rate,
            "setting": poisoner.poison_setting,
            "target_label": poisoner.target_label,
            "victim": host.load_victim(self.config["victim"]).path,
            "defender": None,
            "label_names": list(label_names),
            "lines": [rounded(line) for line in self.lines],
            "host": host.name,
            "versions": versions() if host.name == BUILTIN else {**versions(), "openbackdoor": host.revision},
            "seed": self.config.get("seed"),
        }


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
    apply_overrides(resolved, map(_whole_section, overrides))
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


def _whole_section(override: str) -> str:
    """The override ``defender=NAME`` as a whole section, so that further overrides may write keys into it."""
    path, _, name = override.partition("=")
    if path.strip() != "defender" or not re.fullmatch(r"[A-Za-z][\w+-]*", name.strip()):
        return override
    return f"defender={json.dumps({'name': name.strip()} if name.strip() != 'none' else {})}"
