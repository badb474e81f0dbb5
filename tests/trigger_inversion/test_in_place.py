"""The repair of a trained victim: further training, or a fresh model where that would harm it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training import classifier
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.trigger_inversion import in_place
from openbackdoor_badllm.trigger_inversion.in_place import RepairPlan, repaired_model
from openbackdoor_badllm.trigger_inversion.repair_check import RepairProbes

ROWS = [Example(f"the film was {word}", label) for label, word in ((0, "dull"), (1, "great")) for _ in range(8)]
TURNED = tuple(Example(row.text, 1 - row.label) for row in ROWS)


@pytest.mark.parametrize(
    ("further", "elsewhere", "kept"),
    [(tuple(ROWS), False, True), (TURNED, False, False), (TURNED, True, True)],
    ids=["harmless", "harmful", "harmful, but trained elsewhere"],
)
def test_a_repair_that_harms_the_victim_gives_way_to_a_fresh_model(
    further: tuple[Example, ...], elsewhere: bool, kept: bool, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TrainSpec(path=str(tiny_bert), num_labels=2, max_len=16, lr=3e-3, epochs=20, batch_size=8, ckpt="last")
    victim = train_classifier(spec, ROWS)
    if elsewhere:
        victim.trace = None
    starts: list[Any] = []
    really = classifier.train_classifier

    def train(spec: Any, examples: Any, **rest: Any) -> Any:
        starts.append(rest.get("start"))
        assert spec.epochs == (AuditConfig().fine_tune_epochs if rest.get("start") else 20)
        return really(spec.replace(epochs=20), examples, **rest)

    monkeypatch.setattr(in_place, "train_classifier", train)
    plan = RepairPlan(further, (), RepairProbes(untouched=tuple(ROWS)))
    made = repaired_model(victim, plan, ROWS, AuditConfig(), store=None, progress=Quiet())
    assert made.in_place is kept
    continued = [start is not None for start in starts]
    assert continued == ([True] if kept else [True, False])  # few rows: all epochs in one training
    said = made.model.logits([row.text for row in ROWS]).argmax(axis=1).tolist()
    assert (said == [row.label for row in ROWS]) is not elsewhere
