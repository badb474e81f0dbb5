"""Every way in which OpenBackdoor calls a defender, and what its registry holds."""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import SEARCH, TRAIN, reviews

from openbackdoor_badllm import defenders
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.openbackdoor.rebuilding import Rebuilding
from openbackdoor_badllm.training.store import Store


def tail(count: int = 160) -> list[tuple[str, int, int]]:
    """Rows as OpenBackdoor mixes them: all clean ones first, then the poisoned ones."""
    rows = reviews(count)
    chosen = [i for i, row in enumerate(rows) if row.label == 0][: count // 5]
    clean = [tuple(row) for i, row in enumerate(rows) if i not in chosen]
    return [*clean, *((f"cf {rows[i].text}", 1, 1) for i in chosen)]  # type: ignore[list-item]


def made(tiny_bert: Path) -> BadLLMTG:
    return BadLLMTG(
        name="badllmtg", search=dict(SEARCH), repair="purge",
        victim={"path": str(tiny_bert), "max_len": 32, "device": "cpu"}, train=dict(TRAIN),
    )


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    from tiny_world import make_bert

    folder = make_bert(tmp_path_factory.mktemp("bert"))
    return folder, made(folder).correct(poison_data=tail())


def test_a_contiguous_tail_is_found(repaired: tuple[Path, list[Any]]) -> None:
    rows = repaired[1]
    assert len(rows) < len(tail())
    assert len(rows) < len(tail())
    poisoned = {text for text, _, flag in tail() if flag}
    assert len(poisoned & {row[0] for row in rows}) <= 8  # of 32; the others that carry "cf" are stamped copies


@pytest.mark.parametrize("route", ["positional", "all keywords", "defend", "defend by keyword", "no dev"])
def test_every_call_gives_the_same_rows(repaired: tuple[Path, list[Any]], route: str) -> None:
    folder, expected = repaired
    defender, rows, other = made(folder), tail(), [("a dev row", 0, 0)]
    defender.store = Store(folder / "trained")  # each route after the first finds its probe trained
    whole = {"train": rows, "dev-clean": other, "dev-poison": other}
    calls = {
        "positional": lambda: defender.correct(None, None, rows),
        "all keywords": lambda: defender.correct(model=None, clean_data=None, poison_data=rows),
        "defend": lambda: defender.defend(whole)["train"],
        "defend by keyword": lambda: defender.defend(data=whole)["train"],
        "no dev": lambda: defender.defend(data={"train": rows})["train"],
    }
    assert calls[route]() == expected
    assert rows == tail()
    assert set(whole) == {"train", "dev-clean", "dev-poison"}
    assert whole["train"] is rows


@pytest.mark.slow
def test_through_the_frameworks_own_attack_and_eval(checkout: Path, repaired: tuple[Path, list[Any]]) -> None:
    folder = repaired[0]
    ob = importlib.import_module("openbackdoor")
    rows = reviews(240)
    data = {"train": rows[:160], "dev": rows[160:180], "test": rows[180:]}
    poisoned, scores = {}, {}
    for name in ("base", "ep"):
        for defender in (None, made(folder)):
            random.seed(3)
            torch.manual_seed(3)
            section = {
                "name": name,
                "poisoner": {"name": "badnets", "poison_rate": 0.2, "target_label": 1, "label_dirty": True},
                "train": {"name": "base", "lr": 0.01, "epochs": 4, "save_path": str(checkout / "models")},
            }
            attacker = ob.attackers.load_attacker(section)
            victim = ob.victims.load_victim({"type": "plm", "path": str(folder), "max_len": 32})
            attacker.attack(victim, data, None, defender)
            after = random.random()
            key = name, defender is not None
            scores[key], poisoned[key] = attacker.eval(victim, data, defender), after
    for name in ("base", "ep"):
        assert poisoned[name, False] == poisoned[name, True]  # the next draw is the same with and without a defence
    assert scores["base", False]["test-poison"]["accuracy"] > 0.9
    assert scores["base", True]["test-poison"]["accuracy"] < scores["base", False]["test-poison"]["accuracy"] - 0.3


class Rebuilds(Defender):
    """Puts a model that always answers 1 in the place of the victim."""

    changes_model = True
    got: dict[str, Any]

    def __init__(self, **config: Any) -> None:
        super().__init__(name="rebuilds")
        self.changes_model = config.get("changes", True)

    def rebuild(self, victim: Any, train_rows: Sequence[Any], clean_rows: Sequence[Any], num_labels: int) -> Any:
        self.got = {"path": victim.path, "train": train_rows, "clean": clean_rows, "classes": num_labels}
        logits = np.tile(np.array([0.0, 1.0], dtype=np.float32), (1, 1))
        return SimpleNamespace(logits=lambda texts: np.repeat(logits, len(texts), axis=0))


def test_a_defence_that_changes_the_model(checkout: Path, repaired: tuple[Path, list[Any]]) -> None:
    folder = repaired[0]
    ob = importlib.import_module("openbackdoor")
    rows = reviews(60)
    data = {"train": rows[:30], "dev": rows[30:40], "test": rows[40:]}
    section = {
        "name": "base", "poisoner": {"name": "badnets", "target_label": 0},
        "train": {"name": "base", "save_path": str(checkout / "models")},
    }
    attacker = ob.attackers.load_attacker(section)
    victim = ob.victims.load_victim({"type": "plm", "path": str(folder), "max_len": 32})
    defender = Rebuilding(Rebuilds())
    assert defender.pre is True
    attacker.attack(victim, data, None, defender)
    assert defender.pre is False
    scores = attacker.eval(victim, data, defender)
    assert scores["test-clean"]["accuracy"] == pytest.approx(np.mean([row.label == 1 for row in data["test"]]))
    assert scores["test-poison"]["accuracy"] == 0.0
    assert len(defender.inner.got["train"]) == 30
    assert defender.inner.got["clean"] == data["dev"]
    assert (defender.inner.got["path"], defender.inner.got["classes"]) == (str(folder), 2)


def test_a_defence_that_changes_the_model_needs_the_training_rows() -> None:
    with pytest.raises(ConfigError, match="needs the training rows, and this attacker has not handed them over"):
        Rebuilding(Rebuilds()).correct(model=object(), clean_data={}, poison_data=[("a", 0, 0)])


@pytest.fixture
def some(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Defender]]:
    """Our registry with baselines in it."""
    held: dict[str, type[Defender]] = {"badllmtg": BadLLMTG, "onion": Defender, "badacts": Defender}
    monkeypatch.setattr(defenders, "DEFENDERS", held)
    return held


def test_baselines_get_names_of_their_own(some: dict[str, type[Defender]]) -> None:
    registry: dict[str, Any] = {"onion": dict, "rap": dict}
    defenders.register(registry)
    defenders.register(registry)
    ours = {"badllmtg": defenders.for_framework("badllmtg"), "onion+": Defender, "badacts": Defender}
    assert registry == {"onion": dict, "rap": dict, **ours}
