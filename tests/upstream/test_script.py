"""``python -m openbackdoor_badllm.openbackdoor``: OpenBackdoor's own scripts with our defenders beside its own."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.openbackdoor.script import main


@pytest.fixture
def config(tiny_bert: Path, tmp_path: Path) -> Path:
    content = {
        "victim": {"path": str(tiny_bert)}, "target_dataset": {"name": "sst-2", "max_test": 3},
        "attacker": {"poisoner": {"name": "badnets"}}, "defender": {"name": "badllmtg"},
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def quiet_root() -> Any:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


@pytest.mark.parametrize("joined", [False, True])
def test_its_own_script_runs_with_a_completed_config(
    checkout: Path, config: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, joined: bool
) -> None:
    arguments, path = sys.argv[:], sys.path[:]
    given = [f"--config_path={config}"] if joined else ["--config_path", str(config)]
    before = config.read_bytes()
    assert main(["demo_defend.py", *given, "--seed", "7"]) == 0
    result = told(capsys)
    assert result["class"] == "BadLLMTG"
    assert (result["seed"], result["main"]) == (7, "__main__")
    assert (result["script"], result["first"]) == (str(checkout / "demo_defend.py"), str(checkout))
    assert result["config"]["defender"]["victim"]["path"] == json.loads(before)["victim"]["path"]
    assert result["config"]["attacker"]["poisoner"]["load"] is False
    assert config.read_bytes() == before
    assert (sys.argv, sys.path) == (arguments, path)
    assert "do not know the key 'target_dataset.max_test'" in caplog.text


def test_a_config_without_a_defender_runs_undefended(
    checkout: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(config.read_text("utf-8"))
    del content["defender"]
    config.write_text(json.dumps(content), encoding="utf-8")
    assert main(["demo_defend.py", "--config_path", str(config)]) == 0
    assert told(capsys)["config"]["defender"] == {"name": "base"}


def test_a_script_of_ones_own(checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n", encoding="utf-8")
    script = tmp_path / "own.py"
    script.write_text("import beside, openbackdoor, sys\nprint(beside.WORD, sys.argv[1:])\n", encoding="utf-8")
    assert main(["--openbackdoor", str(checkout), str(script), "--x", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "beside ['--x', '1']"
