from __future__ import annotations

from pathlib import Path

import pytest

from engine.tiny_bert import make_model


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT. Nothing may be written into it."""
    return make_model(tmp_path_factory.mktemp("tiny") / "bert")
