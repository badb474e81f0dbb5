"""Against the real OpenBackdoor, unmodified, where it is found (``OPENBACKDOOR_HOME`` or installed); else skipped."""

from __future__ import annotations

import importlib
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import SEARCH, TRAIN, config, reviews, write_reviews

from openbackdoor_badllm.defenders import DEFENDERS, for_framework
from openbackdoor_badllm.evaluation.experiment import Experiment, resolve
from openbackdoor_badllm.evaluation.folder import RunFolder
from openbackdoor_badllm.openbackdoor.finding import VARIABLE
from openbackdoor_badllm.openbackdoor.host import open_host

from .conftest import leaves_no_trace

OWN = ("base", "strip", "rap", "onion", "bki", "cube")


def test_it_is_imported_without_a_trace(real: Path) -> None:
    root, states = logging.getLogger(), (random.getstate(), torch.get_rng_state(), np.random.get_state()[1])
    before = root.level, root.handlers[:], dict(os.environ), sys.path[:]
    loggers = {name: logging.getLogger(name).handlers[:] for name in list(logging.Logger.manager.loggerDict)}
    ob = importlib.import_module("openbackdoor")
    assert Path(ob.__file__).parent == real
    assert (root.level, root.handlers, dict(os.environ), sys.path) == before
    assert {name: logging.getLogger(name).handlers[:] for name in loggers} == loggers
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.array_equal(np.random.get_state()[1], states[2])  # type: ignore[arg-type]


def test_the_plugin_beside_it_leaves_no_trace_in_a_fresh_process(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(real.parent))
    leaves_no_trace(tmp_path)


def test_its_registry(real: Path) -> None:
    registry = importlib.import_module("openbackdoor").defenders.DEFENDERS
    assert all(registry[name].__module__.startswith("openbackdoor.") for name in OWN)
    for name in DEFENDERS:
        assert registry[f"{name}+" if name in OWN else name] is for_framework(name)


@pytest.mark.slow
def test_a_whole_run_has_the_same_json_as_on_the_built_in_host(
    real: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = resolve(config(write_reviews(tmp_path / "data"), tiny_bert))
    results = {
        name: Experiment(made, host=open_host(name)).run(RunFolder(tmp_path / name, made))
        for name in ("builtin", "upstream")
    }
    assert set(results["upstream"]) == set(results["builtin"])
    assert [line["name"] for line in results["upstream"]["lines"]] == [
        line["name"] for line in results["builtin"]["lines"]
    ]
    undefended, defended, _, clean = results["upstream"]["lines"]
    assert undefended["ASR"] > 0.9
    assert results["upstream"]["truth"]["target_label_right"]
    assert defended["ASR"] < undefended["ASR"] - 0.3
    assert clean["ASR"] < 0.5
    assert capfd.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["builtin", "data", "upstream"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ep", "sos", "ripples", "lwp"])
def test_its_other_attackers(real: Path, tiny_bert: Path, tmp_path: Path, name: str) -> None:
    rows = reviews(180)
    data = {"train": rows[:120], "dev": rows[120:140], "test": rows[140:]}
    host = open_host("upstream")
    poisoner = {"ripples": "badnets"}.get(name, name)
    attacker = host.load_attacker(
        {
            "name": name,
            "poisoner": {"name": poisoner, "poison_rate": 0.2, "target_label": 1, "label_dirty": True},
            "train": {"name": name, **TRAIN, "epochs": 2, "seed": 1, "warm_up_epochs": 0, "ckpt": "last"},
        }
    )
    victim = host.load_victim({"path": str(tiny_bert), "max_len": 32, "num_classes": 2, "device": "cpu"})
    poisoned = attacker.poison(victim, data, "train")
    attacker.train(victim, poisoned)
    assert set(attacker.eval(victim, data)) >= {"test-clean", "test-poison"}
    assert len(attacker.evaluation.predictions["test-poison"]) == len(attacker.evaluation.rows["test-poison"])


def world(folder: Path, victim: Path, **defender: Any) -> Path:
    """A working directory with SST-2 in OpenBackdoor's layout, and a config."""
    rows = reviews(260)
    for split, part in (("train", rows[:160]), ("dev", rows[160:180]), ("test", rows[180:])):
        path = folder / "datasets" / "SentimentAnalysis" / "SST-2" / f"{split}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "sentence\tlabel\n" + "".join(f"{row.text}\t{row.label}\n" for row in part), encoding="utf-8"
        )
    content = {
        "target_dataset": {"name": "sst-2"}, "poison_dataset": {"name": "sst-2"},
        "victim": {"path": str(victim), "max_len": 32, "device": "cpu"},
        "attacker": {
            "name": "base", "train": {**TRAIN, "save_path": "models"},
            "poisoner": {
                "name": "badnets", "poison_rate": 0.2, "target_label": 1, "label_dirty": True, "triggers": ["cf"],
            },
        },
        "defender": defender, "clean-tune": False,
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.slow
def test_its_own_demo_defend(real: Path, tiny_bert: Path, tmp_path: Path) -> None:
    scores = {}
    for name, section in (
        ("none", {"name": "base"}),
        ("badllmtg", {"name": "badllmtg", "search": SEARCH, "repair": "purge"}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        world(folder, tiny_bert, **section)
        run = subprocess.run(
            [
                sys.executable, "-m", "openbackdoor_badllm.openbackdoor", "--openbackdoor", str(real.parent),
                "demo_defend.py", "--config_path", "config.json", "--seed", "4",
            ],
            cwd=folder, capture_output=True, text=True, check=False,
        )
        assert run.returncode == 0, run.stderr[-2000:]
        lines = run.stderr.splitlines()
        scores[name] = {
            split: float(next(line for line in reversed(lines) if f"accuracy on {split}: " in line).rsplit(" ", 1)[1])
            for split in ("test-clean", "test-poison")
        }
    assert scores["none"]["test-poison"] > 0.9
    assert scores["badllmtg"]["test-poison"] < scores["none"]["test-poison"] - 0.3
