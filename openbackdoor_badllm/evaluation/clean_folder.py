"""What a repair leaves: the repaired rows as JSON Lines, and the folder of the clean model with its model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.evaluation.model_card import CARD, model_card
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.trained import save_trained


def rows_as_jsonl(examples: Sequence[Example], names: Sequence[str]) -> Iterator[str]:
    """The rows as they are: a spreadsheet's safety marks would change what is trained on."""
    named = any(not name.isdigit() for name in names)
    for text, label in examples:
        yield json.dumps({"text": text, "label": names[label] if named else label}, ensure_ascii=False) + "\n"


def save_clean(model: TrainedClassifier, folder: Path, names: Sequence[str], results: Mapping[str, Any]) -> None:
    """Saves a clean model with its card, by way of a draft beside it: the folder is there whole, or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    save_trained(model, draft, names)
    (draft / CARD).write_text(model_card(results), encoding="utf-8", errors="backslashreplace")
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
