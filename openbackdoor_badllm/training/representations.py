"""Sentence representations of a classifier: vectors of the first token before the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from openbackdoor_badllm.training.scoring import FloatArray, Scorer, collate, encode, length_batches


def first_token_vectors(scorer: Scorer, texts: Sequence[str], *, pooled: bool = False) -> FloatArray:
    """The last layer's vector of the first token, or the pooler's output where ``pooled`` and there is a pooler.

    Texts are batched by length, each is encoded once, and dropout is off.

    Returns:
        Shape ``(len(texts), hidden)``, in the order of ``texts``.
    """
    unique: dict[str, int] = {}
    inverse = [unique.setdefault(text, len(unique)) for text in texts]
    encoder = scorer.model.base_model
    width = int(scorer.model.config.hidden_size)
    if not unique:
        return np.zeros((0, width), dtype=np.float32)
    encoded = encode(scorer.tokenizer, list(unique), scorer.max_len)
    result = np.zeros((len(encoded), width), dtype=np.float32)
    device = next(scorer.model.parameters()).device
    was_training = scorer.model.training
    scorer.model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=scorer.bf16):
            for batch in length_batches([len(ids) for ids in encoded], scorer.batch_tokens):
                inputs = collate([encoded[i] for i in batch], scorer.tokenizer.pad_token_id or 0)
                outputs = encoder(**{name: value.to(device) for name, value in inputs.items()})
                vectors = getattr(outputs, "pooler_output", None) if pooled else None
                if vectors is None:
                    vectors = outputs.last_hidden_state[:, 0]
                result[batch] = vectors.float().cpu().numpy()
    finally:
        scorer.model.train(was_training)
    return result[inverse]
