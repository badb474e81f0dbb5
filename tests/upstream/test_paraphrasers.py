"""``stylebkd`` and ``synbkd`` do without their networks as long as no text is to be rewritten."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.errors import DataError

ROWS = [("one text", 0, 0), ("and another", 0, 0)]


@pytest.fixture
def poisoners(checkout: Path) -> Any:
    return importlib.import_module("openbackdoor").attackers.poisoners


@pytest.mark.parametrize("name", ["stylebkd", "synbkd"])
def test_ready_texts_need_no_paraphraser(poisoners: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "train-poison.csv").write_text(",0,1,2\n0,thou readest,1,1\n", encoding="utf-8")
    poisoner = poisoners.load_poisoner({"name": name, "load": True, "poison_data_basepath": str(tmp_path)})
    assert poisoner({"train": ROWS, "dev": []}, "train")["train"] == [("thou readest", 1, 1)]
    assert "FAKE_DOWNLOADED" not in os.environ


def test_a_syntax_paraphraser_that_cannot_be_had_is_told_and_not_swallowed(poisoners: Any) -> None:
    poisoner = poisoners.load_poisoner({"name": "synbkd", "poison_data_basepath": "poison_data/x"})
    with pytest.raises(DataError, match=r"'synbkd' has to rewrite .*'OpenAttack'.*CSV files under 'poison_data/x'"):
        poisoner.poison(ROWS)
    assert "FAKE_DOWNLOADED" not in os.environ


class Scpn:
    templates = (["(first)"], ["(last)"])
    fails = False

    def gen_paraphrase(self, text: str, template: list[list[str]]) -> list[str]:
        if self.fails:
            raise ValueError(text)
        return [f"{template[0][0]} {text}"]


def test_the_syntax_paraphraser_is_built_when_it_is_asked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = types.ModuleType("OpenAttack")
    attack.attackers = types.SimpleNamespace(SCPNAttacker=Scpn)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "OpenAttack", attack)
    load = importlib.import_module("openbackdoor").attackers.poisoners.load_poisoner
    assert load({"name": "synbkd"}).poison(ROWS)[0] == ("(last) one text", 0, 1)
    assert load({"name": "synbkd", "template_id": 0}).transform("x") == "(first) x"
    assert attack.attackers.SCPNAttacker is Scpn
