"""Shared by the tests that train: a victim small enough to be trained in a second (see ``tiny_world``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT with random weights."""
    from tiny_world import make_bert  # here, as torch takes seconds that other tests need not wait for

    return make_bert(tmp_path_factory.mktemp("tiny-bert"))
