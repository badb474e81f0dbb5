"""Shared by the tests that train: a victim small enough to be trained in a second (see ``tiny_world``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("loaded", deadline=None)  # a machine that others use as well keeps no time limits
settings.load_profile("loaded")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT with random weights."""
    from tiny_world import make_bert  # here, as torch takes seconds that other tests need not wait for

    return make_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def kin(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Folder of a BERT, RoBERTa or DistilBERT with random weights, of the depth that is asked for."""
    from tiny_world import make_kin

    made: dict[tuple[str, int], Path] = {}

    def make(kind: str, layers: int) -> Path:
        if (kind, layers) not in made:
            made[kind, layers] = make_kin(tmp_path_factory.mktemp(f"{kind}-{layers}"), tiny_bert, kind, layers)
        return made[kind, layers]

    return make
