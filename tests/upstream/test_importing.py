"""``import openbackdoor`` on today's packages: what is put in its way, and that everything is put back."""

from __future__ import annotations

import importlib
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

from openbackdoor_badllm.defenders import DEFENDERS, for_framework
from openbackdoor_badllm.errors import BadLLMError, ConfigError, MissingExtraError
from openbackdoor_badllm.openbackdoor import importing
from openbackdoor_badllm.openbackdoor.finding import VARIABLE

from .conftest import leaves_no_trace


def framework() -> Any:
    return importlib.import_module("openbackdoor")


def test_an_import_in_anybodys_script_works_and_has_our_defenders(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ob = framework()
    assert capsys.readouterr().out == ""
    assert Path(ob.__file__) == checkout / "openbackdoor" / "__init__.py"
    assert ob.defenders.DEFENDERS["badllmtg"] is for_framework("badllmtg")
    assert ob.defenders.load_defender({"name": "BadLLMTG", "repair": "purge"}).config.repair == "purge"
    assert ob.defenders.DEFENDERS["strip"].__module__ == "openbackdoor.defenders"


def test_the_other_order(checkout: Path) -> None:
    finder = importing.hook()
    ob = framework()
    registry = ob.defenders.DEFENDERS
    for name in DEFENDERS:
        registry.pop(name, None)
    sys.meta_path.remove(finder)  # as if it had been imported by somebody who mended it by himself
    importing.hook()
    assert ob.defenders.DEFENDERS is registry
    assert registry["badllmtg"] is for_framework("badllmtg")
    count = len(registry)
    importing.adopt(ob)
    assert len(registry) == count


def test_the_finder_is_there_once(untouched: None) -> None:
    assert importing.hook() is importing.hook()
    assert sum(isinstance(finder, importing.Finder) for finder in sys.meta_path) == 1


def test_nothing_around_it_is_changed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    handler = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    level, handlers, environment, path = root.level, root.handlers[:], dict(os.environ), sys.path[:]
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1]
    try:
        ob = framework()
        assert (root.level, root.handlers) == (level, handlers)
    finally:
        root.removeHandler(handler)
    assert dict(os.environ) == environment
    assert sys.path == path
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.array_equal(np.random.get_state()[1], states[2])  # type: ignore[arg-type]
    assert ob.utils.logger is root  # it keeps its logger
    assert sys.modules["umap"] is None  # absent as before


def test_adamw_is_there_for_the_import_alone_with_its_old_defaults(checkout: Path) -> None:
    ob = framework()
    assert "AdamW" not in vars(sys.modules["transformers"])
    defaults = ob.trainers.AdamW([torch.nn.Parameter(torch.zeros(1))]).defaults
    assert (defaults["lr"], defaults["eps"], defaults["weight_decay"]) == (1e-3, 1e-6, 0.0)


def test_an_adamw_that_transformers_has_is_left(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("transformers.processing_utils")  # puts another module object in its place
    monkeypatch.setattr(sys.modules["transformers"], "AdamW", torch.optim.SGD, raising=False)
    assert framework().trainers.AdamW is torch.optim.SGD
    assert vars(sys.modules["transformers"])["AdamW"] is torch.optim.SGD


def test_what_is_absent_is_named_when_it_is_needed(checkout: Path) -> None:
    ob = framework()
    with pytest.raises(MissingExtraError, match=r"needs the package 'umap-learn'.*openbackdoor-badllm\[openbackdoor\]"):
        ob.trainers.UMAP(n_components=2)
    with pytest.raises(MissingExtraError, match="'hdbscan'"):
        ob.defenders.HDBSCAN()


def test_what_is_there_is_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    there = types.ModuleType("umap")
    there.UMAP = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", there)
    assert framework().trainers.UMAP is dict


def test_a_failed_import_leaves_nothing_half_imported(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FRAMEWORK_FAILS", "1")
    environment, root = dict(os.environ), logging.getLogger().handlers[:]
    with pytest.raises(ImportError, match="something is gone"):
        framework()
    assert not [name for name in sys.modules if name.split(".")[0] == "openbackdoor"]
    assert dict(os.environ) == environment
    assert logging.getLogger().handlers == root
    with pytest.raises(ConfigError, match=r"found, but its import fails \(something is gone\)"):
        importing.load()
    monkeypatch.delenv("FAKE_FRAMEWORK_FAILS")
    assert "badllmtg" in framework().defenders.DEFENDERS


def test_what_an_attempt_before_us_left_is_cleared_away(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    half = types.ModuleType("openbackdoor.trainers")
    sys.modules["openbackdoor.trainers"] = half
    assert framework().trainers is not half


def test_a_package_that_it_cannot_do_without(checkout: Path) -> None:
    (checkout / "openbackdoor" / "data.py").write_text("import no_such_package_anywhere\n", encoding="utf-8")
    with pytest.raises(MissingExtraError, match="OpenBackdoor needs the package 'no_such_package_anywhere'"):
        importing.load()


def test_a_defender_of_our_name_is_never_overwritten(checkout: Path) -> None:
    with (checkout / "openbackdoor" / "defenders" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write('\nDEFENDERS["badllmtg"] = dict\n')
    with pytest.raises(BadLLMError, match="'badllmtg' is taken by <class 'dict'>"):
        framework()
    assert "openbackdoor" not in sys.modules


def test_two_of_them_are_not_mixed(checkout: Path, tmp_path: Path) -> None:
    from fake import write_framework

    assert importing.load() is importing.load(checkout)
    other = write_framework(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"is imported from '.*checkout/openbackdoor' already"):
        importing.load(other)


def test_a_wrong_home_is_told(untouched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"There is no OpenBackdoor in '.*': expected the folder of a clone"):
        importing.load(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="There is no OpenBackdoor in"):
        framework()


def test_a_plain_install_without_the_paraphrasers(checkout: Path) -> None:
    import shutil

    shutil.rmtree(checkout / "openbackdoor" / "attackers" / "poisoners" / "utils")
    style = framework().attackers.poisoners.POISONERS["stylebkd"](name="stylebkd", load=True)
    with pytest.raises(BadLLMError, match="installed with a plain pip install, which leaves out its paraphrasers"):
        style.poison([("a text", 0, 0)])
    assert not [name for name in sys.modules if name.endswith("inference_utils")]


def test_the_plugin_alone_imports_nothing_heavy() -> None:
    code = (
        "import sys, openbackdoor_badllm; "
        "print(sorted(set(sys.modules) & {'torch', 'transformers', 'numpy', 'openbackdoor'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_importing_the_plugin_leaves_no_trace(checkout: Path, tmp_path: Path) -> None:
    leaves_no_trace(tmp_path)
