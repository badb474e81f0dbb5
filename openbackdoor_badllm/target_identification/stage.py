"""Stage (a) as one step: what is known of the rows, and which labels and rows are suspicious."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.protocols import Encoder, Victim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.target_identification.content_reference import ContentReference
from openbackdoor_badllm.target_identification.dynamics import LabelEvidence, TargetIdentification, identify_target
from openbackdoor_badllm.training.scoring import softmax
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence


def identify(
    examples: Sequence[Example], victim: Victim, encoder: Encoder, num_labels: int, config: AuditConfig
) -> tuple[RowEvidence, TargetIdentification]:
    """The evidence of the rows, and the labels in the order in which they are searched.

    Args:
        examples: the training rows.
        victim: trained on them.
        encoder: of the content reference.
        num_labels: number of classes.
        config: how; a given target label leaves no other.

    Raises:
        ConfigError: Eq. 4 is asked for, and the victim brings no trace.
    """
    if config.target == "paper" and config.target_label is None and victim.trace is None:
        raise ConfigError(
            "'defender.target' is 'paper' (Eq. 4), which needs the training of the victim, and a given model brings "
            "none: leave the model out, or set 'defender.target' to robust."
        )
    reference = ContentReference(encoder, examples, num_labels, config.seed)
    held_out = reference.held_out()
    said = victim.logits([example.text for example in examples])
    confidence = softmax(said)[np.arange(len(examples)), reference.labels]
    found = identify_target(reference.labels, held_out, confidence, victim.trace, method=config.target)
    ranked: tuple[LabelEvidence, ...] = found.evidence[: config.max_labels]
    method = found.method
    if config.target_label is not None:
        ranked, method = tuple(item for item in found.evidence if item.label == config.target_label), "given"
    elif method == "paper":
        ranked = ranked[:1]
    identification = TargetIdentification(method, ranked, found.weights, found.views)
    return RowEvidence(reference, held_out, said, found.weights, found.views), identification
