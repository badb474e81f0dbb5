"""One audit in Python on the tiny world, made once and looked at by many tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_world import SEARCH, TRAIN, reviews

from openbackdoor_badllm import AuditResult, audit
from openbackdoor_badllm.attacks.poisoner import load_poisoner
from openbackdoor_badllm.rows import Row

NAMES = ("bad", "good")
POISONED: list[Row] = load_poisoner(
    {"name": "badnets", "triggers": ["cf"], "target_label": 1, "poison_rate": 0.2, "label_dirty": True}
).mix(reviews(160))
TEXTS, LABELS = [row.text for row in POISONED], [NAMES[row.label] for row in POISONED]
CARRYING = [place for place, row in enumerate(POISONED) if row.poison_label]


def settings(bert: Path) -> dict[str, Any]:
    """What makes an audit small."""
    return {
        "victim": {"path": str(bert), "max_len": 32, "device": "cpu"}, "train": TRAIN, "defender": {"search": SEARCH},
    }  # fmt: skip


@pytest.fixture(scope="session")
def found(tiny_bert: Path) -> AuditResult:
    """An audit of the poisoned rows."""
    result: AuditResult = audit(TEXTS, LABELS, **settings(tiny_bert))
    return result
