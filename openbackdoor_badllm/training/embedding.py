"""Sentence vectors of a pretrained encoder that is never trained here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers

from openbackdoor_badllm.training.scoring import FloatArray, collate, encode, length_batches
from openbackdoor_badllm.training.victims import (
    guarded,
    load_tokenizer,
    pick_device,
    quiet_transformers,
    supports_bf16,
    usable_length,
)


class Embedder:
    """Mean-pooled, length-normalised last hidden states of a frozen encoder.

    Args:
        path: folder or hub name of the pretrained model, or ``minilm``.
        max_len: tokens kept of a text.
        device: ``gpu`` (where there is one) or ``cpu``.
    """

    def __init__(self, path: str, *, max_len: int = 128, device: str = "gpu") -> None:
        def load(source: str) -> Any:
            with quiet_transformers():
                return transformers.AutoModel.from_pretrained(
                    source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
                )

        self.tokenizer = load_tokenizer(path)
        self.device = pick_device(device)
        self.model = guarded(path, load).to(self.device).eval()
        self.max_len = usable_length(self.model, max_len)
        self._known: dict[str, FloatArray] = {}

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of shape ``(len(texts), hidden)``, each of length 1; every text is encoded once."""
        fresh = list(dict.fromkeys(text for text in texts if text not in self._known))
        encoded = encode(self.tokenizer, fresh, self.max_len)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=supports_bf16(self.device)),
        ):
            for batch in length_batches([len(ids) for ids in encoded], 8192):
                inputs = collate([encoded[i] for i in batch], self.tokenizer.pad_token_id or 0)
                inputs = {name: value.to(self.device) for name, value in inputs.items()}
                hidden = self.model(**inputs).last_hidden_state.float()
                mask = inputs["attention_mask"].unsqueeze(-1)
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                vectors = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
                for index, vector in zip(batch, vectors, strict=True):
                    self._known[fresh[index]] = vector
        if not len(texts):
            return np.zeros((0, int(self.model.config.hidden_size)), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])
