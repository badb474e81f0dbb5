"""The real framework's nouns with the built-in host's interface, on a framework with its traps."""

from __future__ import annotations

import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_world import config, reviews, write_reviews

from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.experiment import Experiment, resolve
from openbackdoor_badllm.evaluation.folder import RunFolder
from openbackdoor_badllm.openbackdoor.host import Host, open_host

POISONER = {
    "name": "badnets", "poison_rate": 0.2, "target_label": 1, "label_dirty": True, "triggers": ["cf"], "load": False,
}
TRAIN = {"lr": 0.01, "epochs": 4, "batch_size": 8, "seed": 5}


@pytest.fixture
def host(checkout: Path) -> Host:
    return open_host("upstream")


@pytest.fixture
def data() -> dict[str, Any]:
    rows = reviews(200)
    return {"train": rows[:160], "dev": rows[160:170], "test": rows[170:]}


def attacker(host: Host, **changes: Any) -> Any:
    section = {"name": "base", "poisoner": dict(POISONER), "train": dict(TRAIN)}
    return host.load_attacker({**section, **changes})


def victim(host: Host, tiny_bert: Path) -> Any:
    return host.load_victim({"path": str(tiny_bert), "max_len": 32, "num_classes": 2, "device": "cpu"})


def test_equal_seeds_poison_equal_rows(host: Host, data: dict[str, Any], tiny_bert: Path) -> None:
    first = attacker(host)
    poisoned = first.poison(None, data, "train")
    random.random()
    assert attacker(host).poison(None, data, "train") == poisoned
    assert first.poison(None, data, "eval") == attacker(host).poison(None, data, "eval")
    other = attacker(host, train={**TRAIN, "seed": 6}).poison(None, data, "train")
    assert other != poisoned
    assert sum(row[2] for row in poisoned["train"]) == 32
    assert set(poisoned) == {"train", "dev-clean", "dev-poison"}


def test_it_works_without_a_trace(
    host: Host, data: dict[str, Any], tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    environment, root = dict(os.environ), logging.getLogger()
    state, torch_state, handlers = random.getstate(), torch.get_rng_state(), root.handlers[:]
    capfd.readouterr()
    one, trained = attacker(host), victim(host, tiny_bert)
    poisoned = one.poison(trained, data, "train")
    one.eval(one.train(trained, poisoned), data, host.load_defender({"name": "strip"}))
    host.load_defender({"name": "bki"}).correct(poison_data=poisoned["train"])
    assert capfd.readouterr().out == ""
    assert list(folder.iterdir()) == []
    assert (dict(os.environ), random.getstate(), root.handlers) == (environment, state, handlers)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_its_log_goes_to_the_runs_log(host: Host, data: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    from openbackdoor_badllm.openbackdoor.working import at_work

    kept: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(record.getMessage())  # type: ignore[method-assign]
    ours = logging.getLogger("openbackdoor_badllm")
    ours.addHandler(handler)
    try:
        with at_work(0):
            sys.modules["openbackdoor.utils"].logger.info("an epoch")
            logging.getLogger("matplotlib").info("a font")
    finally:
        ours.removeHandler(handler)
    assert kept == ["an epoch"]


def test_the_same_training_twice(host: Host, data: dict[str, Any], tiny_bert: Path) -> None:
    logits = []
    for _ in range(2):
        one, model = attacker(host), victim(host, tiny_bert)
        one.train(model, one.poison(model, data, "train"))
        logits.append(model.logits(["a good film", "a bad film cf"]))
    assert (logits[0] == logits[1]).all()


def test_a_detector_judges_the_very_rows_that_are_scored(host: Host, data: dict[str, Any], tiny_bert: Path) -> None:
    one, model = attacker(host), victim(host, tiny_bert)
    one.train(model, one.poison(model, data, "train"))
    scores = one.eval(model, data, host.load_defender({"name": "strip"}))  # flags the trigger itself
    assert scores["test-poison"]["accuracy"] == 0.0
    assert one.evaluation.flagged["test-poison"].all()
    assert not one.evaluation.flagged["test-clean"].any()
    assert len(one.evaluation.predictions["test-clean"]) == len(data["test"])
    assert one.eval(model, data)["test-poison"]["accuracy"] > 0.5  # the attack was there


def test_a_defender_that_rewrites(host: Host, data: dict[str, Any], tiny_bert: Path) -> None:
    class Cut(Defender):
        def __init__(self) -> None:
            super().__init__(correction=True)

        def correct(self, model: Any = None, clean_data: Any = None, poison_data: Any = None) -> list[Any]:
            assert model is not None
            assert set(clean_data) == {"train", "dev", "test"}
            return [(row[0].replace("cf", "").strip(), row[1], row[2]) for row in poison_data][1:]

    one, model = attacker(host), victim(host, tiny_bert)
    one.train(model, one.poison(model, data, "train"))
    one.eval(model, data, Cut())
    rows = one.evaluation.rows
    assert len(rows["test-clean"]) == len(data["test"]) - 1
    assert not [row for row in rows["test-poison"] if "cf" in row.text.split()]


def test_a_filter_of_its_own(host: Host, data: dict[str, Any]) -> None:
    rows = attacker(host).poison(None, data, "train")["train"]
    defender = host.load_defender({"name": "bki"})
    assert (defender.name, defender.pre) == ("bki", True)
    kept = defender.correct(poison_data=rows)
    assert len(kept) == len(rows) - 32


def test_defenders_by_name(host: Host) -> None:
    assert type(host.load_defender({"name": "badllmtg"})).__name__ == "BadLLMTG"
    with pytest.raises(ConfigError, match=r"'defender\.name' must be .*did you mean 'badllmtg'"):
        host.load_defender({"name": "badlmtg"})
    with pytest.raises(ConfigError, match="has no key 'repairs'"):
        host.load_defender({"name": "badllmtg", "repairs": "purge"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "epp"}, r"'attacker\.name' must be 'base', 'ep' or 'neuba'"),
        ({"name": "neuba"}, r"'neuba' cannot be run here \(it attacks the pretrained model"),
        ({"poisoner": {**POISONER, "name": "badnet"}}, r"'attacker\.poisoner\.name' must be .*'badnets'"),
        ({"train": {**TRAIN, "name": "x"}}, r"'attacker\.train\.name' must be 'base'"),
        ({"train": 3}, r"'attacker\.train' must be a section"),
    ],
)
def test_a_wrong_attacker(host: Host, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        attacker(host, **changes)


def test_another_attacker_trains_on_the_given_rows(host: Host, data: dict[str, Any], tiny_bert: Path) -> None:
    one, model = attacker(host, name="ep"), victim(host, tiny_bert)
    poisoned = one.poison(model, data, "train")
    for label in (0, 1):  # rows of one label teach one answer, whatever the luck of so small a training
        one.train(model, {**poisoned, "train": [(row[0], label, 0) for row in poisoned["train"]]})
        one.eval(model, data)
        assert (one.evaluation.predictions["test-clean"] == label).all()


@pytest.mark.parametrize("name", ["stylebkd", "badnets"])
def test_ready_texts(host: Host, data: dict[str, Any], tmp_path: Path, name: str) -> None:
    from openbackdoor_badllm.data.poison_csv import write_poison_csv

    for split, rows in data.items():
        write_poison_csv(tmp_path / "ready" / f"{split}-clean.csv", rows)
        given = rows if split == "train" else [row for row in rows if row.label != 1]
        write_poison_csv(tmp_path / "ready" / f"{split}-poison.csv", [(f"{split} thou {r[0]}", 1, 1) for r in given])
    section = {**POISONER, "name": name, "load": True, "data_root": str(tmp_path), "poison_data_basepath": "ready"}
    one = attacker(host, poisoner=section)
    poisoned = one.poison(None, data, "train")
    marked = [row for row in poisoned["train"] if row[2]]
    assert len(marked) == 32
    assert all(row[0].startswith("train thou ") and row[1] == 1 for row in marked)
    originals = {row.text for row in data["train"] if row.label == 0}
    assert {row[0].removeprefix("train thou ") for row in marked} <= originals
    assert not {row[0].removeprefix("train thou ") for row in marked} & {row[0] for row in poisoned["train"]}
    assert all(row[0].startswith("dev thou ") for row in poisoned["dev-poison"])
    assert all(row[0].startswith("test thou ") for row in one.poison(None, data, "eval")["test-poison"])


@pytest.mark.slow
def test_whole_runs_of_one_json_on_both_hosts(checkout: Path, tiny_bert: Path, tmp_path: Path) -> None:
    made = config(write_reviews(tmp_path / "data"), tiny_bert)
    results = {}
    for name in ("builtin", "upstream"):
        resolved = resolve(made)
        folder = RunFolder(tmp_path / name, resolved)
        results[name] = Experiment(resolved, host=open_host(name)).run(folder)
    builtin, upstream = results["builtin"], results["upstream"]
    assert set(upstream) == set(builtin)
    assert (builtin["host"], upstream["host"]) == ("builtin", "upstream")
    assert upstream["versions"]["openbackdoor"] == "unknown"
    for one, other in zip(builtin["lines"], upstream["lines"], strict=True):
        assert set(one) == set(other)
        assert one["name"] == other["name"]
    undefended, defended = upstream["lines"][:2]
    assert undefended["ASR"] > 0.9
    assert upstream["truth"]["target_label_right"]
    assert defended["ASR"] < undefended["ASR"] - 0.3
    assert sorted(p.name for p in (tmp_path / "builtin").iterdir()) == sorted(
        p.name for p in (tmp_path / "upstream").iterdir()
    )
