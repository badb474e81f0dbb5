"""The other main job: one's own rows, and one's own classifier where there is one. No attack is planted.

It answers the four questions (is there a backdoor, which label, which trigger, which rows) and leaves the repaired
rows and a clean model beside the answers. Nothing is known of the truth here, so nothing is said of it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbackdoor_badllm.attacks.metrics import accuracy
from openbackdoor_badllm.config import TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.data.dataset import Splits, load_dataset
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.evaluation.finding_files import write_findings
from openbackdoor_badllm.evaluation.folder import MODEL, REPAIRED, RESULTS, TRANSCRIPT, RunFolder, versions
from openbackdoor_badllm.evaluation.given_model import examine, spec_of_given, with_length
from openbackdoor_badllm.evaluation.measuring import DEFENDED, UNDEFENDED
from openbackdoor_badllm.evaluation.profiles import PAPER_TRAIN, PROFILES
from openbackdoor_badllm.reading import apply_overrides, check_seed, refuse_unknown, want_section
from openbackdoor_badllm.report import AuditReport, Backdoor
from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.trained import class_names, open_trained, save_trained
from openbackdoor_badllm.training.victims import resolve_auto
from openbackdoor_badllm.trigger_generator.reward import flip_rates

SECTIONS = ("rows", "model", "victim", "train", "defender", "seed")
SMALL = PROFILES["desk"].train  # few rows and a small model learn nothing at the rate of a large one
LARGE = {**PAPER_TRAIN, "ckpt": "last"}


def resolve_audit(
    rows: Mapping[str, Any],
    *,
    model: str | None = None,
    victim: str = "auto",
    defender: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    seed: int = 42,
) -> dict[str, Any]:
    """The config of an audit, complete: it names the run's folder.

    Args:
        rows: keys of a data set: ``train_file``, ``test_file``, ``label_names`` and so on.
        model: folder or hub name of a classifier that was trained on the rows.
        victim: pretrained model of the victim where none is given, and of a fresh clean model.
        defender: keys of the section ``defender``.
        overrides: ``key=value``, such as ``train.epochs=3`` or ``defender.llm.backend=openai``.
        seed: of everything that is drawn.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    check_seed("--seed", seed)
    config: dict[str, Any] = {
        "rows": {"name": "custom", "dev_rate": 0.0, "test_rate": 0.0, **rows},
        "model": model,
        "victim": {"path": resolve_auto(victim)},
        "train": {},
        "defender": {"name": "badllmtg", **(defender or {})},
        "seed": seed,
    }
    apply_overrides(config, overrides)
    refuse_unknown(config, SECTIONS, "audit")
    for section in ("rows", "victim", "train", "defender"):
        want_section(section, config[section])
    config["train"] = {**(SMALL if config["victim"].get("path") == "minilm" else LARGE), **config["train"]}
    config["defender"].setdefault("seed", seed)
    config["defender"].setdefault("from_scratch", False)
    if config["defender"]["name"] != "badllmtg":
        raise ConfigError(f"An audit is made by 'badllmtg', but 'defender.name' is {config['defender']['name']!r}.")
    return config


@dataclass
class AuditRun:
    """An audit, ready to run.

    Attributes:
        config: as :func:`resolve_audit` gives it.
    """

    config: dict[str, Any]
    store: Store | None = None
    progress: Progress = field(default_factory=Quiet)

    def run(self, folder: RunFolder) -> dict[str, Any]:
        """Runs it and fills the folder; an audit that came to its end before is returned as it is.

        Raises:
            DataError: the rows cannot be used.
            VictimError: a model cannot be loaded, or does not fit the rows.
        """
        finished = folder.finished()
        if finished is not None:
            return finished
        with folder.log():
            results = self._run(folder)
        return folder.finished() or results

    def _run(self, folder: RunFolder) -> dict[str, Any]:
        started = time.monotonic()
        given = self.config["model"]
        victim = read(VictimConfig, self.config["victim"], "victim")
        training = read(TrainConfig, self.config["train"], "train")
        defender = BadLLMTG(**self.config["defender"])
        data = _load(self.config["rows"], class_names(given) if given else None)
        rows, examples = data["train"], blind(data["train"])
        keys = self.config["victim"]
        victim = with_length(victim, keys, [row.text for row in rows])
        spec = train_spec(
            victim, training, num_labels=data.info.num_classes, seed=self.config["seed"], path=resolve_auto(victim.path)
        ).replace(ckpt="last")
        model = open_trained(given, spec_of_given(spec, keys)) if given else None
        defender.store, defender.progress = self.store, self.progress
        defender.attach(victim, training)
        defender.num_classes = data.info.num_classes
        defender.transcript = folder.path / TRANSCRIPT

        if model is None and (defender.changes_model or data["test"]):
            self.progress.stage(f"victim: train on the rows as they are ({len(rows)} rows)")
            model = train_classifier(spec, examples, store=self.store, progress=self.progress)
        read_of = examine(model, examples, data.info, given=given) if model is not None else {}
        clean: TrainedClassifier | None = None
        if defender.changes_model:
            clean = defender.rebuild(_Attacked(victim, model), rows, [], data.info.num_classes)
        else:
            repaired = blind(defender.correct(model=model if given else None, poison_data=rows))
            if defender.report is not None and defender.report.backdoor:
                self.progress.stage(f"victim: train a clean one ({len(repaired)} rows)")
                clean = train_classifier(spec, repaired, store=self.store, progress=self.progress)
        report = defender.report
        if report is None:
            raise RuntimeError("the defender made no report")
        if not report.backdoor:
            clean = None
        lines = [
            _line(name, classifier, data["test"], count)
            for name, classifier, count in (
                (UNDEFENDED, model, len(rows)), (DEFENDED, clean, len(report.repair.examples))
            )
            if classifier is not None and data["test"]
        ]
        results: dict[str, Any] = {
            "dataset": Path(str(data.info.source["train"])).name,
            "rows": len(rows),
            "test_rows": len(data["test"]),
            "label_names": list(data.info.label_names),
            "victim": spec.path,
            "model": given,
            "defender": "badllmtg",
            "in_place": defender.changes_model,
            **read_of,
            "lines": lines,
            "report": report.to_dict(),
            "versions": versions(),
            "seed": self.config["seed"],
        }
        if clean is not None:
            results["after_repair_flip_rate"] = {
                trigger: round(rate, 4)
                for backdoor in report.backdoors
                for trigger, rate in _flip_rates_after(clean, report, backdoor, self.config["seed"]).items()
            }
            names = data.info.label_names
            folder.write(REPAIRED, _as_jsonl(report.repair.examples, names))
            _save(clean, folder.path / MODEL, names)
            results["files"] = {"rows": REPAIRED, "model": MODEL}
        numbers = data.info.positions["train"]
        write_findings(folder, report, rows, numbers)
        results["seconds"] = round(time.monotonic() - started, 1)
        folder.write_json(RESULTS, results)
        return results


@dataclass(frozen=True)
class _Attacked:
    """A classifier in the place of a host's victim."""

    config: VictimConfig
    trained: TrainedClassifier | None


def _load(keys: Mapping[str, Any], names: Sequence[str] | None) -> Splits:
    """The rows; where a classifier is given, its class names tell which label is which of its outputs.

    Raises:
        DataError: a file cannot be read, or its labels are not those of the classifier.
    """
    config = DatasetConfig.from_keys(keys)
    numbered = names is None or all(name.startswith("LABEL_") for name in names)
    if config.label_names is None and names is not None and not numbered:
        return load_dataset(**{**keys, "label_names": list(names)})
    data = load_dataset(**keys)
    if config.label_names is None and names is not None and any(not name.isdigit() for name in data.info.label_names):
        raise DataError(
            f"The rows' labels are {', '.join(data.info.label_names[:10])}, and the model only says {names[0]} to "
            f"{names[-1]}: name the classes in its order with --label-names."
        )
    return data


def _flip_rates_after(
    clean: TrainedClassifier, report: AuditReport, backdoor: Backdoor, seed: int
) -> dict[str, float]:
    """Flip rate of each inserted trigger on the clean model."""
    probes = report.search_of(backdoor.target_label).probes.report
    return flip_rates(clean, backdoor.target_label, backdoor.triggers, probes, seed)


def _line(name: str, classifier: TrainedClassifier, rows: Sequence[Row], train_rows: int) -> dict[str, Any]:
    said = classifier.logits([row.text for row in rows]).argmax(axis=1)
    return {"name": name, "CACC": round(accuracy(said, rows), 4), "train_rows": train_rows}


def _as_jsonl(examples: Sequence[Example], names: Sequence[str]) -> str:
    """The rows as they are: a spreadsheet's safety marks would change what is trained on."""
    named = any(not name.isdigit() for name in names)
    lines = [
        json.dumps({"text": text, "label": names[label] if named else label}, ensure_ascii=False)
        for text, label in examples
    ]
    return "\n".join(lines) + "\n"


def _save(model: TrainedClassifier, folder: Path, names: Sequence[str]) -> None:
    """By way of a draft beside it: the folder is there whole, or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    save_trained(model, draft, names)
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
