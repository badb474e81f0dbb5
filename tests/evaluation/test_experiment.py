"""A whole run: its lines, its files, and what a second one does again."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny_world import reviews

from openbackdoor_badllm.defenders import DEFENDERS
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.evaluation.experiment import Experiment
from openbackdoor_badllm.evaluation.folder import RunFolder
from openbackdoor_badllm.evaluation.summary import print_summary
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.training.store import Store

from .conftest import Finished, Trainings

LINES = ["undefended", "defended", "oracle filter", "trained on clean rows"]


def table(folder: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def saved(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


def run(config: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    return Experiment(config, **more).run(RunFolder(folder, config))


def figures(results: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(line["name"], line["CACC"], line["ASR"], line["R-Acc"], line["train_rows"]) for line in results["lines"]]


def test_results(finished: Finished) -> None:
    results = finished.results
    assert {
        "dataset": "custom",
        "poisoner": "badnets",
        "poison_rate": 0.2,
        "setting": "dirty",
        "target_label": 1,
        "defender": "badllmtg",
        "label_names": ["0", "1"],
        "seed": 42,
        "victim": finished.config["victim"]["path"],
    }.items() <= results.items()
    assert [line["name"] for line in results["lines"]] == LINES
    assert [line["train_rows"] for line in results["lines"][2:]] == [128, 160]
    assert all(line["seconds"] > 0 for line in results["lines"])
    assert results["seconds"] >= sum(line["seconds"] for line in results["lines"]) - 0.5
    assert "torch" in results["versions"]
    assert [trigger["text"] for trigger in results["report"]["triggers"]] == ["cf"]
    assert results["truth"]["target_label_right"] is True
    assert (results["truth"]["poisoned_rows"], results["truth"]["flagged_precision"]) == (32, 1.0)


def test_the_attack_works_and_the_repair_undoes_it(finished: Finished) -> None:
    undefended, defended, oracle, clean = finished.results["lines"]
    assert undefended["ASR"] > 0.9
    assert max(line["ASR"] for line in (defended, oracle, clean)) < 0.3
    assert min(line["CACC"] for line in finished.results["lines"]) > 0.9
    assert undefended["R-Acc"] < 0.1
    assert defended["R-Acc"] > 0.7
    assert set(undefended["variants"]) == {"front", "end", "unseen words"}
    assert undefended["variants"]["front"] > 0.9
    assert undefended["variants"]["unseen words"] < 0.3
    assert max(defended["variants"].values()) < 0.3


def test_figures_are_those_of_the_predictions(finished: Finished) -> None:
    rows = table(finished.folder)
    clean = [row for row in rows if row["split"] == "test-clean"]
    poisoned = [row for row in rows if row["split"] == "test-poison"]
    assert (len(clean), len(poisoned)) == (60, 30)
    assert list(rows[0]) == ["split", "row", "label", "poison_label", *LINES, "text"]
    assert [row["text"] for row in clean] == [row.text for row in reviews(240)[180:]]
    assert [row["poison_label"] for row in rows] == ["0"] * 60 + ["1"] * 30
    assert all("cf" in row["text"].split() for row in poisoned)
    for line in finished.results["lines"]:
        name = line["name"]
        assert line["CACC"] == pytest.approx(np.mean([row[name] == row["label"] for row in clean]), abs=1e-4)
        assert line["ASR"] == pytest.approx(np.mean([row[name] == "1" for row in poisoned]), abs=1e-4)
        assert line["R-Acc"] == pytest.approx(np.mean([row[name] == "0" for row in poisoned]), abs=1e-4)


def test_files(finished: Finished) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    tables = {"predictions.csv", "flagged.csv", "search.json", "trace.npz"}
    assert names == {"config.json", "results.json", "run.log", *tables}
    assert json.loads((finished.folder / "config.json").read_text(encoding="utf-8")) == finished.config
    assert saved(finished.folder) == finished.results
    flagged = table(finished.folder, "flagged.csv")
    assert len(flagged) == finished.results["report"]["flagged_rows"]
    assert all("cf" in row["text"].split() and "cf" not in row["text_without_trigger"].split() for row in flagged)
    history = json.loads((finished.folder / "search.json").read_text(encoding="utf-8"))
    assert any("cf" in entry["text"].split() and entry["reason"] == "accepted" for entry in history)
    log = (finished.folder / "run.log").read_text(encoding="utf-8")
    assert "Data set custom: train 160, dev 20, test 60; classes 0, 1." in log
    assert "(b) trigger search" in log


def test_config_and_global_generators_are_left_alone(finished: Finished, tmp_path: Path) -> None:
    config = copy.deepcopy(finished.config)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    del config["defender"]
    config["attacker"]["train"]["epochs"] = 1
    given = copy.deepcopy(config)
    run(config, tmp_path / "run", references=False)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert config == given


def test_the_same_run_elsewhere_takes_its_trainings_from_the_store(
    finished: Finished, trainings: Trainings, tmp_path: Path
) -> None:
    results = run(finished.config, tmp_path / "run", store=finished.store)
    assert all(rows < 20 for rows in trainings.rows)  # what a style's test unlearns is not kept
    assert figures(results) == figures(finished.results)
    assert results["report"]["triggers"] == finished.results["report"]["triggers"]
    assert table(tmp_path / "run") == table(finished.folder)


class Killer(Quiet):
    """Pulls the plug when a stage begins."""

    def __init__(self, stage: str) -> None:
        self.at = stage

    def stage(self, name: str) -> None:
        if name.startswith(self.at):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_run_goes_on_from_what_was_trained(finished: Finished, trainings: Trainings, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        run(finished.config, tmp_path / "run", store=store, progress=Killer("victim: defended"))
    before = list(trainings.rows)
    assert 1 <= len(before) < len(finished.trainings.rows)
    assert not (tmp_path / "run/results.json").exists()
    results = run(finished.config, tmp_path / "run", store=store)
    kept = [rows for rows in trainings.rows if rows >= 20]  # what a style's test unlearns is not kept
    assert kept == [rows for rows in finished.trainings.rows if rows >= 20]  # none of them twice
    assert figures(results) == figures(finished.results)
    assert "results.json" in {path.name for path in (tmp_path / "run").iterdir()}


def test_nothing_to_repair_leaves_the_victim_as_it_was(
    finished: Finished, tmp_path: Path, trainings: Trainings
) -> None:
    config = copy.deepcopy(finished.config)
    config["defender"]["repair"] = "none"
    results = run(config, tmp_path / "run", store=finished.store, references=False)
    undefended, defended = figures(results)
    assert results["report"]["backdoor"] is True
    assert undefended[2] == figures(finished.results)[0][2]
    assert defended[1:] == undefended[1:]


class Detector(Defender):
    """Flags what holds the trigger."""

    def detect(self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None) -> list[int]:
        return [int("cf" in row[0].split()) for row in poison_data or []]


class Corrector(Defender):
    """Takes the trigger out."""

    def correct(self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None) -> list[Any]:
        rows = poison_data or []
        return [(" ".join(word for word in row[0].split() if word != "cf"), *row[1:]) for row in rows]


@pytest.mark.parametrize(("kind", "correction", "racc"), [(Detector, False, 0.0), (Corrector, True, 1.0)])
def test_a_defender_of_the_test_time(
    finished: Finished,
    tmp_path: Path,
    trainings: Trainings,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Defender],
    correction: bool,
    racc: float,
) -> None:
    monkeypatch.setitem(DEFENDERS, "fake", kind)
    config = {**finished.config, "defender": {"name": "fake", "pre": False, "correction": correction}}
    monkeypatch.setattr(kind, "__init__", lambda self, seed=0, **keys: Defender.__init__(self, **keys), raising=False)
    results = run(config, tmp_path / "run", store=finished.store, references=False)
    undefended, defended = results["lines"]
    assert undefended["ASR"] > 0.9
    assert (defended["CACC"], defended["ASR"]) == (undefended["CACC"], 0.0)
    assert defended["R-Acc"] == pytest.approx(racc, abs=0.1)
    assert results["defender"] == "fake"
    assert trainings.rows == []  # one and the same victim
    assert defended["peak_memory_mb"] > 0
    assert defended["defence_seconds"] >= 0
    assert "defence_seconds" not in undefended
    if not correction:
        assert (defended["FRR"], defended["FAR"]) == (0.0, 0.0)
        assert defended["AUROC"] is None  # it gives no scores
        assert defended["CACC let through"] == undefended["CACC"]
        assert defended["ASR let through"] is None


class Noted(Defender):
    """A filter of training rows that says which it dropped, and reads no flag to do it."""

    def correct(self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None) -> list[Any]:
        assert clean_data is None
        self.last_flags = [int("cf" in row[0].split()) for row in poison_data or []]
        self.last_scores = np.array(self.last_flags, dtype=float)
        self.details = {"word": "cf"}
        return [row for row, flag in zip(poison_data or [], self.last_flags, strict=True) if not flag]


def test_a_filter_of_training_rows(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFENDERS, "fake", Noted)
    monkeypatch.setattr(Noted, "__init__", lambda self, seed=0, **keys: Defender.__init__(self, **keys), raising=False)
    config = {**finished.config, "defender": {"name": "fake", "pre": True}}
    results = run(config, tmp_path / "run", store=finished.store, references=False)
    defended = results["lines"][1]
    oracle = finished.results["lines"][2]
    assert (defended["FRR"], defended["FAR"], defended["AUROC"]) == (0.0, 0.0, 1.0)
    assert [defended[name] for name in ("CACC", "ASR", "R-Acc")] == [oracle[name] for name in ("CACC", "ASR", "R-Acc")]
    assert results["defence"]["details"] == {"word": "cf"}


@pytest.mark.parametrize(("name", "line"), [("oracle", 2), ("clean", 3)])
def test_the_references_as_defenders(finished: Finished, tmp_path: Path, name: str, line: int) -> None:
    config = {**finished.config, "defender": {"name": name, "seed": 42}}
    results = run(config, tmp_path / "run", store=finished.store, references=False)
    assert figures(results)[1][1:] == figures(finished.results)[line][1:]
    assert results["defence"]["evaluation_only"] is True
    told = io.StringIO()
    print_summary(results, tmp_path, Console(file=told, width=400))
    assert "a reference, no defence" in told.getvalue()


@pytest.mark.parametrize("name", ["onion", "rap", "strip", "bki", "cube"])
def test_each_baseline_runs_from_a_config(finished: Finished, tmp_path: Path, name: str) -> None:
    keys = {"onion": {"language_model": "encoder"}, "rap": {"triggers": ["mn"]}, "cube": {"reduction": "pca"}}.get(
        name, {}
    )
    config = {**finished.config, "defender": {"name": name, "seed": 42, **keys}}
    results = run(config, tmp_path / "run", store=finished.store, references=False)
    undefended, defended = results["lines"]
    assert figures(results)[0] == figures(finished.results)[0]
    assert (undefended["train_rows"], results["defender"]) == (160, name)
    assert results["defence"]["stage"] == ("train" if name in ("bki", "cube") else "test")
    assert ("FRR" in defended) is (name != "onion")
    assert results["defence"]["details"]
    if name == "bki":
        assert (defended["FAR"], defended["ASR"] < 0.3) == (0.0, True)
