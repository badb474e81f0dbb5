"""Fast batched scoring: texts in, logits out.

Everything that the search asks of a victim goes through :class:`Scorer`. Texts are sorted by length, so
that little is spent on padding, and duplicates are scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logsumexp

FloatArray = npt.NDArray[np.float32]

CPU_BATCH_TOKENS = 2048  # twice as many are slower (docs/baselines.md): they leave the cache
GPU_BATCH_TOKENS = 65536
ENCODED = 10_000  # texts that a tokenizer gets at once: it holds much more of each than its ids


class Victim(Protocol):
    """All that the inversion needs to know of a classifier."""

    @property
    def num_labels(self) -> int:
        """Number of classes."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``, in the order of ``texts``."""


class Scorer:
    """A Hugging Face sequence classifier seen as :class:`Victim`.

    Args:
        model: a sequence classification model.
        tokenizer: its tokenizer.
        max_len: tokens kept of a text; what is longer is cut at the end.
        batch_tokens: upper bound of tokens in a batch, padding included; what suits the model's device where None.
        bf16: score under bfloat16 autocast.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, max_len: int, batch_tokens: int | None = None, bf16: bool = False
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_len = max_len
        on_cpu = next(model.parameters()).device.type == "cpu"
        self.batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        self.bf16 = bf16
        self.num_labels = int(model.config.num_labels)
        self.forwards = 0

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``; the model's mode is restored afterwards."""
        if not texts:
            return np.zeros((0, self.num_labels), dtype=np.float32)
        unique: dict[str, int] = {}
        inverse = np.array([unique.setdefault(text, len(unique)) for text in texts], dtype=np.int64)
        encoded = encode(self.tokenizer, list(unique), self.max_len)
        scored = self.logits_of_ids(encoded)
        return scored[inverse]

    def logits_of_ids(self, encoded: Sequence[Sequence[int]]) -> FloatArray:
        """Logits of token sequences, in their order."""
        result = np.zeros((len(encoded), self.num_labels), dtype=np.float32)
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        self.forwards += len(encoded)
        try:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=self.bf16),
            ):
                for batch in length_batches([len(ids) for ids in encoded], self.batch_tokens):
                    inputs = collate([encoded[i] for i in batch], self.tokenizer.pad_token_id or 0)
                    inputs = {key: value.to(device) for key, value in inputs.items()}
                    result[batch] = self.model(**inputs).logits.float().cpu().numpy()
        finally:
            self.model.train(was_training)
        return result


def encode(tokenizer: Any, texts: Sequence[str], max_len: int) -> list[list[int]]:
    """Token ids of each text, cut to ``max_len``."""
    ids: list[list[int]] = []
    for start in range(0, len(texts), ENCODED):
        part = list(texts[start : start + ENCODED])
        ids += tokenizer(part, truncation=True, max_length=max_len)["input_ids"]
    return ids


def collate(encoded: Sequence[Sequence[int]], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded ``input_ids`` and ``attention_mask`` of shape ``(batch, longest)``."""
    longest = max(len(ids) for ids in encoded)
    input_ids = torch.full((len(encoded), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(encoded), longest), dtype=torch.long)
    for row, ids in enumerate(encoded):
        input_ids[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        mask[row, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


def length_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices grouped by length so that no group holds more than ``batch_tokens`` padded tokens."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches: list[list[int]] = []
    for index in order:
        # The order ascends, so the newcomer's length is the padded length of the whole group.
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def log_softmax(logits: FloatArray) -> FloatArray:
    """Row-wise log-probabilities."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def softmax(logits: FloatArray) -> FloatArray:
    """Row-wise probabilities."""
    result: FloatArray = np.exp(log_softmax(logits))
    return result


def log_odds(logits: FloatArray, target: int) -> FloatArray:
    """Log-odds of a label, shape ``(n,)``, of logits of shape ``(n, num_labels)``."""
    others = np.delete(logits, target, axis=1)
    result: FloatArray = logits[:, target] - logsumexp(others, axis=1)
    return result
