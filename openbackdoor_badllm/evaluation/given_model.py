"""The victim of an audit and its rows: how much of them it reads, and whether a given one was trained on them."""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from openbackdoor_badllm.config import VictimConfig
from openbackdoor_badllm.data.dataset import DatasetInfo
from openbackdoor_badllm.data.stratified import stratified_sample
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.lengths import MOST_GIVEN, cut_share, pick_length, token_counts
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.victims import resolve_auto

ASKED = 400
ASKED_OF_A_CLASS = 10
NO_BETTER = 0.1
"""Cohen's kappa under which answers and labels have nothing to do with each other; 0 is chance."""
BETTER = 0.2
"""Share of the rows that another order of the outputs must win to be believed, where the order as it is does better
than chance."""


def check_given_model(name: str, model: Classifier, examples: Sequence[Example], info: DatasetInfo) -> float:
    """Share of its own rows to which a given classifier gives their label.

    A poisoned model agrees with poisoned rows, so a backdoor does not lower the share.

    Args:
        name: of the model, for the message.
        model: texts in, logits out.
        examples: the rows that it was trained on; a stratified sample of them is asked.
        info: the classes of the rows.

    Raises:
        VictimError: its answers agree with the labels by chance or less, or much better in another order of its
            outputs; names that order.
    """
    count = info.num_classes
    labels = [example.label for example in examples]
    asked = stratified_sample(labels, max(ASKED, ASKED_OF_A_CLASS * count), random.Random(0))
    said = model.logits([examples[place].text for place in asked]).argmax(axis=1)
    table = np.zeros((count, count))
    np.add.at(table, (said, [labels[place] for place in asked]), 1 / len(asked))
    agreed, chance = float(np.trace(table)), float(table.sum(axis=1) @ table.sum(axis=0))
    order = linear_sum_assignment(table, maximize=True)[1]  # by output, the label that it means
    best = float(table[np.arange(count), order].sum())
    poor = agreed - chance < NO_BETTER * (1 - chance)
    if not poor and best - agreed < BETTER:
        return agreed
    if best - agreed < BETTER:
        raise VictimError(
            f"The model '{name}' gives {agreed:.0%} of {len(asked)} rows their label, no more than chance would, in "
            "whatever order its outputs are taken: name the rows that it was trained on."
        )
    raise VictimError(
        f"The model '{name}' gives {agreed:.0%} of {len(asked)} rows their label, and {best:.0%} if its outputs are "
        f"taken in another order: if it was trained in that order, add  {_option(order, info)}"
    )


def with_length(victim: VictimConfig, keys: Mapping[str, Any], texts: Sequence[str]) -> VictimConfig:
    """The section ``victim`` with ``max_len`` chosen for the rows, where the user's keys do not say it.

    Raises:
        VictimError: the pretrained model cannot be had.
    """
    return victim if "max_len" in keys else victim.replace(max_len=pick_length(resolve_auto(victim.path), texts))


def spec_of_given(spec: TrainSpec, keys: Mapping[str, Any]) -> TrainSpec:
    """The spec with which a given model is opened: it reads what it takes, where the user's keys do not say less."""
    return spec if "max_len" in keys else spec.replace(max_len=MOST_GIVEN)


def examine(
    victim: Classifier, examples: Sequence[Example], info: DatasetInfo, *, given: str | None
) -> dict[str, float]:
    """What ``results.json`` says of the victim and its rows, before anything is searched.

    ``max_len`` is the tokens that it reads of a row, ``cut_rows`` the share of the rows that have more, and
    ``model_agrees`` (of a given one) what :func:`check_given_model` gives.

    Args:
        victim: given, or trained on the rows.
        examples: the rows.
        info: their classes.
        given: name of a given victim; None of one that was trained here.

    Raises:
        VictimError: a given victim does not belong to the rows.
    """
    told: dict[str, float] = {}
    if isinstance(victim, TrainedClassifier):
        counts = token_counts(victim.tokenizer, [example.text for example in examples])
        told = {"max_len": victim.spec.max_len, "cut_rows": round(cut_share(counts, victim.spec.max_len), 4)}
    if given is not None:
        told["model_agrees"] = round(check_given_model(given, victim, examples, info), 4)
    return told


def _option(order: npt.NDArray[np.int64], info: DatasetInfo) -> str:
    """What to type, in the labels that stand in the rows: ``--label-names`` takes them in the order of the outputs."""
    written = {place: value for value, place in info.label_index.items()}
    written.update({place: name for place, name in enumerate(info.label_names) if info.label_index.get(name) == place})
    values = [written.get(int(place), str(place)) for place in order]
    if any("," in value or value != value.strip() for value in values):
        return f"--set {shlex.quote('rows.label_names=' + json.dumps(values, ensure_ascii=False))}"
    return f"--label-names {shlex.quote(','.join(values))}"
