"""``import openbackdoor`` on today's packages: what is put in its way, and that everything is put back."""

from __future__ import annotations

import importlib
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openbackdoor_badllm.defenders import for_framework
from openbackdoor_badllm.errors import BadLLMError, ConfigError, MissingExtraError
from openbackdoor_badllm.openbackdoor import importing


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


def test_what_is_absent_is_named_when_it_is_needed(checkout: Path) -> None:
    ob = framework()
    with pytest.raises(MissingExtraError, match=r"needs the package 'umap-learn'.*openbackdoor-badllm\[openbackdoor\]"):
        ob.trainers.UMAP(n_components=2)
    with pytest.raises(MissingExtraError, match="'hdbscan'"):
        ob.defenders.HDBSCAN()


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


def test_a_defender_of_our_name_is_never_overwritten(checkout: Path) -> None:
    with (checkout / "openbackdoor" / "defenders" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write('\nDEFENDERS["badllmtg"] = dict\n')
    with pytest.raises(BadLLMError, match="'badllmtg' is taken by <class 'dict'>"):
        framework()
    assert "openbackdoor" not in sys.modules
