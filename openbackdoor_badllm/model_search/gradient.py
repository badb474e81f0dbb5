"""First-order scores of inserting a word: how the victim's log-odds of a label change with the embedding put in.

HotFlip (Ebrahimi et al. 2018) for insertions: one backward pass over some texts scores the whole vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.scoring import FloatArray, collate, encode

BATCH = 8


class Gradient:
    """The first-order proposals of a transformers classifier.

    Args:
        victim: the classifier.
        words: its vocabulary, by word.
    """

    def __init__(self, victim: TrainedClassifier, words: Mapping[str, int]) -> None:
        self.victim, self.words = victim, list(words)
        self._ids = torch.tensor(list(words.values()), dtype=torch.long)
        tokenizer = victim.tokenizer
        filler = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
        self._filler = int(filler if filler is not None else self._ids[0])

    def scores(self, texts: Sequence[str], label: int, seed: int) -> FloatArray:
        """The first-order score of each word, shape ``(words,)``, on average over the texts.

        Args:
            texts: of other labels; the word goes to a random place of each.
            label: the label under suspicion.
            seed: of the places.
        """
        self.victim.scorer()  # moves the model to its device
        model = self.victim.model
        table = model.get_input_embeddings()
        places, encoded = self._with_room(texts, seed)
        total = torch.zeros(table.weight.shape[1], dtype=torch.float32)
        for start in range(0, len(encoded), BATCH):
            total += self._gradients(model, table, encoded[start : start + BATCH], places[start : start + BATCH], label)
        with torch.inference_mode():
            weights = table.weight[self._ids.to(table.weight.device)].float().cpu()
            result: FloatArray = (weights @ (total / max(1, len(encoded)))).numpy()
        return result

    def best(self, texts: Sequence[str], label: int, seed: int, count: int) -> list[str]:
        """The words with the highest scores, best first."""
        if not self.words or not texts:
            return []
        order = np.argsort(-self.scores(texts, label, seed), kind="stable")[:count]
        return [self.words[int(place)] for place in order]

    def _with_room(self, texts: Sequence[str], seed: int) -> tuple[list[int], list[list[int]]]:
        """Tokens of each text with a filler at a random place, and that place."""
        places, encoded = [], []
        for text, ids in zip(texts, encode(self.victim.tokenizer, texts, self.victim.spec.max_len - 1), strict=True):
            place = random.Random(f"{seed}/gradient/{text}").randint(min(1, len(ids)), max(1, len(ids) - 1))
            place = min(place, len(ids))
            places.append(place)
            encoded.append([*ids[:place], self._filler, *ids[place:]])
        return places, encoded

    def _gradients(
        self, model: Any, table: Any, encoded: Sequence[list[int]], places: Sequence[int], label: int
    ) -> torch.Tensor:
        """Sum over some texts of the gradient at the filler."""
        kept: list[torch.Tensor] = []

        def keep(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            kept.append(output.detach().requires_grad_(True))
            return kept[-1]

        inputs = collate(encoded, self.victim.tokenizer.pad_token_id or 0)
        handle = table.register_forward_hook(keep)
        try:
            with torch.enable_grad():
                logits = model(**{name: value.to(table.weight.device) for name, value in inputs.items()}).logits.float()
                others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
                odds = (logits[:, label] - torch.logsumexp(others, dim=1)).sum()
                (gradient,) = torch.autograd.grad(odds, kept[0])
        finally:
            handle.remove()
        rows = torch.arange(len(encoded), device=gradient.device)
        picked: torch.Tensor = gradient[rows, torch.tensor(places, device=gradient.device)].float().sum(0).cpu()
        return picked
