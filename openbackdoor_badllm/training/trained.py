"""A classifier that somebody has trained: opened for questions, and saved for use elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.checking import check_answers
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.victims import (
    guarded,
    load_tokenizer,
    quiet_transformers,
    settle_padding,
    usable_length,
)

KIND = "ForSequenceClassification"


def class_names(path: str) -> tuple[str, ...]:
    """The classes of a trained classifier in the order of its outputs.

    Raises:
        VictimError: it cannot be had, or is no sequence classifier of one label a text.
    """
    config = guarded(path, lambda source: transformers.AutoConfig.from_pretrained(source, trust_remote_code=False))
    kinds = list(getattr(config, "architectures", None) or [])
    if not any(str(kind).endswith(KIND) for kind in kinds):
        raise VictimError(
            f"The model '{path}' is no trained classifier: expected an architecture that ends in {KIND}, its "
            f"config.json names {', '.join(map(str, kinds)) or 'none'}."
        )
    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise VictimError(
            f"The model '{path}' does not choose one class of several (num_labels {config.num_labels}, problem_type "
            f"{config.problem_type}): name a classifier of the type single_label_classification."
        )
    return tuple(str(config.id2label[index]) for index in range(config.num_labels))


def open_trained(path: str, spec: TrainSpec) -> TrainedClassifier:
    """A trained classifier, as it is.

    Args:
        path: folder or hub name.
        spec: ``num_labels`` must be its own; ``max_len``, ``device``, ``precision`` and ``seed`` are taken from here.

    Raises:
        VictimError: it cannot be had, is no classifier, lacks some of its weights, has another number of classes, or
            cannot classify two texts at once.
    """
    names = class_names(path)
    if len(names) != spec.num_labels:
        raise VictimError(
            f"The model '{path}' has {len(names)} classes ({', '.join(names[:10])}), the rows have {spec.num_labels}: "
            "name the rows that it was trained on, or all class names in its order."
        )

    def load(source: str) -> tuple[Any, dict[str, Any]]:
        with quiet_transformers():
            loaded: tuple[Any, dict[str, Any]] = transformers.AutoModelForSequenceClassification.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
        return loaded

    model, told = guarded(path, load)
    missing = sorted(told.get("missing_keys") or ())
    if missing:  # transformers would have drawn them at random
        raise VictimError(
            f"The model '{path}' lacks the weights {', '.join(missing[:4])}: save the whole classifier again."
        )
    model.eval()
    tokenizer = load_tokenizer(path)
    settle_padding(model, tokenizer)
    max_len = usable_length(model, spec.max_len, tokenizer)
    check_answers(path, model, tokenizer, max_len)
    return TrainedClassifier(model, tokenizer, spec.replace(path=path, max_len=max_len))


def save_trained(trained: TrainedClassifier, folder: Path, label_names: Sequence[str]) -> None:
    """Saves a classifier with its tokenizer and class names as a Hugging Face folder (safetensors)."""
    trained.model.config.id2label = dict(enumerate(label_names))
    trained.model.config.label2id = {name: index for index, name in enumerate(label_names)}
    with quiet_transformers():
        trained.model.save_pretrained(str(folder))
        trained.tokenizer.save_pretrained(str(folder))
