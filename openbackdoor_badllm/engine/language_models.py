"""How surprising each word of a text is: GPT-2 and its kin, or a pretrained encoder made to guess masked words.

ONION asks GPT-2. Where no model hub can be reached, the encoder that the victim was made from is there all the same;
its embedding matrix serves as output layer, and a few clean texts teach it to fill masked places (BERT's own training
task). Both count only what stands in a text, never the padding beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import transformers

from openbackdoor_badllm.engine.progress import Progress, Quiet
from openbackdoor_badllm.engine.rng import isolated_rng
from openbackdoor_badllm.engine.scoring import collate, length_batches
from openbackdoor_badllm.engine.victims import (
    guarded,
    load_tokenizer,
    pick_device,
    quiet_transformers,
    supports_bf16,
    usable_length,
)
from openbackdoor_badllm.errors import VictimError

Array = npt.NDArray[np.float64]

STRIDE = 5  # the encoder guesses every fifth word of a text at once, about as many as it learnt to
MASKED_SHARE = 0.2


class LanguageModel(Protocol):
    """Tells how surprising words are."""

    name: str

    def surprise(self, texts: Sequence[Sequence[str]]) -> list[Array]:
        """One number for each word of each text; nan for words beyond the model's reach."""


class CausalModel:
    """Perplexity of a text less that of the text without the word (ONION, Eq. 1).

    Args:
        path: folder or hub name, for instance ``gpt2``.
        device: ``gpu`` (where there is one) or ``cpu``.
        max_len: tokens of a text at most; the words beyond have no number.

    Raises:
        VictimError: it cannot be loaded.
    """

    def __init__(self, path: str, *, device: str = "gpu", max_len: int = 512) -> None:
        def load(source: str) -> Any:
            with quiet_transformers():
                return transformers.AutoModelForCausalLM.from_pretrained(
                    source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
                )

        self.name = path
        self.tokenizer = load_tokenizer(path)
        self.device = pick_device(device)
        self.model = guarded(path, load).to(self.device).eval()
        self.max_len = usable_length(self.model, max_len)
        self.batch_tokens = 4096 if self.device.type == "cpu" else 32768
        start = self.tokenizer.bos_token_id
        self.start = self.tokenizer.eos_token_id if start is None else start
        if self.start is None:
            raise VictimError(f"The language model '{path}' has no token that begins a text: choose another.")

    def surprise(self, texts: Sequence[Sequence[str]]) -> list[Array]:
        """``PPL(text) - PPL(text without the word)`` of each word."""
        versions: list[str] = []
        for words in texts:
            versions.append(" ".join(words))
            versions += [" ".join([*words[:i], *words[i + 1 :]]) for i in range(len(words))]
        perplexities = self.perplexity(versions)
        found, place = [], 0
        for words in texts:
            found.append(perplexities[place] - perplexities[place + 1 : place + 1 + len(words)])
            found[-1][self._reach(words) :] = np.nan
            place += len(words) + 1
        return found

    def perplexity(self, texts: Sequence[str]) -> Array:
        """``exp`` of the mean negative log-likelihood of a text's tokens; 1 for an empty text."""
        unique: dict[str, int] = {}
        inverse = [unique.setdefault(text, len(unique)) for text in texts]
        if not unique:
            return np.zeros(0)
        encoded = self.tokenizer(list(unique), truncation=True, max_length=self.max_len - 1, add_special_tokens=False)
        ids = [[self.start, *part] for part in encoded["input_ids"]]
        mean = np.zeros(len(ids))
        for batch in length_batches([len(part) for part in ids], self.batch_tokens):
            inputs = collate([ids[i] for i in batch], self.start)
            inputs = {name: value.to(self.device) for name, value in inputs.items()}
            with (
                torch.inference_mode(),
                torch.autocast(self.device.type, torch.bfloat16, enabled=supports_bf16(self.device)),
            ):
                logits = self.model(**inputs).logits[:, :-1]
            wanted, real = inputs["input_ids"][:, 1:], inputs["attention_mask"][:, 1:].bool()
            # Position by position, so that no second tensor of the vocabulary's width is made.
            each = torch.nn.functional.cross_entropy(logits[real].float(), wanted[real], reduction="none")
            rows = real.nonzero()[:, 0]
            total = torch.zeros(len(batch), device=self.device).index_add_(0, rows, each)
            mean[batch] = (total / real.sum(dim=1).clamp(min=1)).double().cpu().numpy()
        return np.exp(np.minimum(mean, 50.0))[inverse]

    def _reach(self, words: Sequence[str]) -> int:
        """Words that the model sees; a token at the least each."""
        pieces = self.tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"] if words else []
        return int(np.searchsorted(np.cumsum([len(part) for part in pieces]), self.max_len - 1, side="right"))


class MaskedModel:
    """A pretrained encoder taught to guess masked words of clean texts.

    A word's number is the mean negative log-probability of its pieces, given the other words: of each text every fifth
    word is masked, then the next ones, so that a text costs five passes and not one for each word.

    Args:
        path: folder or hub name of an encoder (BERT and its kin), or ``minilm``.
        texts: clean texts that it learns from.
        seed: seed of the training.
        epochs: passes through the texts.
        device: ``gpu`` (where there is one) or ``cpu``.
        max_len: tokens of a text at most; the words beyond have no number.

    Raises:
        VictimError: it cannot be loaded.
    """

    def __init__(
        self,
        path: str,
        texts: Sequence[str],
        *,
        seed: int,
        epochs: int = 10,
        device: str = "gpu",
        max_len: int = 512,
        progress: Progress | None = None,
    ) -> None:
        def load(source: str) -> Any:
            with quiet_transformers():
                return transformers.AutoModel.from_pretrained(
                    source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
                )

        self.name = f"masked words guessed by '{path}', taught on {len(texts)} clean dev texts"
        self.tokenizer = load_tokenizer(path)
        self.device = pick_device(device)
        self.model = guarded(path, load).to(self.device)
        self.max_len = usable_length(self.model, max_len)
        self.batch_tokens = 4096 if self.device.type == "cpu" else 65536
        self.mask = self.tokenizer.mask_token_id
        if self.mask is None:
            raise VictimError(f"The encoder '{path}' has no mask token, so it cannot guess words: choose another.")
        with isolated_rng(seed):
            self.head = _Head(self.model.get_input_embeddings().weight).to(self.device)
            self._learn(texts, epochs, seed, progress or Quiet())
        self.model.eval()
        self.head.eval()

    def surprise(self, texts: Sequence[Sequence[str]]) -> list[Array]:
        """Mean negative log-probability of each word's pieces, given the words that are not masked beside it."""
        found = [np.full(len(words), np.nan) for words in texts]
        pieces = self._pieces(texts)
        tasks: list[tuple[int, int]] = []  # text, and which of its words are masked: every STRIDE-th from the second
        framed = [self._framed(parts) for parts in pieces]
        for index, (_, spans) in enumerate(framed):
            tasks += [(index, first) for first in range(min(STRIDE, len(spans)))]
        lengths = [len(framed[index][0]) for index, _ in tasks]
        for batch in length_batches(lengths, self.batch_tokens):
            rows: list[list[int]] = []
            places: list[tuple[int, int, int, int]] = []  # row, position, text, word
            for row, task in enumerate(batch):
                index, first = tasks[task]
                ids, spans = framed[index]
                masked = list(ids)
                for word in range(first, len(spans), STRIDE):
                    for position in range(*spans[word]):
                        masked[position] = self.mask
                        places.append((row, position, index, word))
                rows.append(masked)
            if not places:
                continue
            where = torch.tensor([place[:2] for place in places], device=self.device)
            wanted = torch.tensor([framed[index][0][position] for _, position, index, _ in places], device=self.device)
            with torch.inference_mode():
                each = self._loss(rows, where, wanted, reduction="none").double().cpu().numpy()
            sums: dict[tuple[int, int], list[float]] = {}
            for (_, _, index, word), value in zip(places, each, strict=True):
                sums.setdefault((index, word), []).append(float(value))
            for (index, word), values in sums.items():
                found[index][word] = float(np.mean(values))
        return found

    def _learn(self, texts: Sequence[str], epochs: int, seed: int, progress: Progress) -> None:
        encoded = [ids for ids, spans in map(self._framed, self._pieces([text.split() for text in texts])) if spans]
        if not encoded:
            return
        special = set(self.tokenizer.all_special_ids)
        generator = torch.Generator().manual_seed(seed)
        batches_each = math.ceil(len(encoded) / 32)
        steps, step = epochs * batches_each, 0
        groups = [{"params": list(self.model.parameters()), "lr": 1e-4}, {"params": list(self.head.own()), "lr": 1e-3}]
        optimiser = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: max(0.0, 1 - done / steps))
        self.model.train()
        for _ in range(epochs):
            order = torch.randperm(len(encoded), generator=generator).tolist()
            for start in range(0, len(order), 32):
                rows = [list(encoded[i]) for i in order[start : start + 32]]
                places = []
                for row, ids in enumerate(rows):
                    draws = torch.rand(len(ids), generator=generator).tolist()
                    places += [
                        (row, position, piece)
                        for position, (piece, draw) in enumerate(zip(ids, draws, strict=True))
                        if piece not in special and draw < MASKED_SHARE
                    ]
                step += 1
                progress.step(step, steps, "language model")
                if not places:
                    continue
                for row, position, _ in places:
                    rows[row][position] = self.mask
                where = torch.tensor([place[:2] for place in places], device=self.device)
                wanted = torch.tensor([place[2] for place in places], device=self.device)
                loss = self._loss(rows, where, wanted, reduction="mean")
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
        optimiser.zero_grad(set_to_none=True)

    def _loss(
        self, rows: Sequence[Sequence[int]], where: torch.Tensor, wanted: torch.Tensor, *, reduction: str
    ) -> torch.Tensor:
        inputs = collate(rows, self.tokenizer.pad_token_id or 0)
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=supports_bf16(self.device)):
            hidden = self.model(**inputs).last_hidden_state[where[:, 0], where[:, 1]]
            logits = self.head(hidden)
        return torch.nn.functional.cross_entropy(logits.float(), wanted, reduction=reduction)

    def _pieces(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """Token ids of each word of each text; a word of unknown characters alone is one unknown token."""
        unique = list(dict.fromkeys(word for words in texts for word in words))
        # A space in front: byte-level vocabularies (RoBERTa) have other pieces for the beginning of a text.
        ids = self.tokenizer([f" {word}" for word in unique], add_special_tokens=False)["input_ids"] if unique else []
        unknown = [self.tokenizer.unk_token_id or 0]
        known = {word: part or unknown for word, part in zip(unique, ids, strict=True)}
        return [[known[word] for word in words] for words in texts]

    def _framed(self, pieces: Sequence[Sequence[int]]) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids with the special tokens around them, and the span of each word that fits."""
        ids, spans = [self.tokenizer.cls_token_id], []
        for part in pieces:
            if len(ids) + len(part) + 1 > self.max_len:
                break
            spans.append((len(ids), len(ids) + len(part)))
            ids += part
        return [*ids, self.tokenizer.sep_token_id], spans


class _Head(torch.nn.Module):
    """Hidden state to vocabulary: a layer that starts as the identity, then the encoder's own embedding matrix."""

    def __init__(self, embeddings: torch.nn.Parameter) -> None:
        super().__init__()
        width = embeddings.shape[1]
        self.dense = torch.nn.Linear(width, width)
        torch.nn.init.eye_(self.dense.weight)
        torch.nn.init.zeros_(self.dense.bias)
        self.norm = torch.nn.LayerNorm(width)
        self.scale = torch.nn.Parameter(torch.tensor(4.0 / math.sqrt(width)))
        self.bias = torch.nn.Parameter(zipf(embeddings.shape[0]))
        self._tied = [embeddings]  # in a list, so that it is trained once, as the encoder's

    def own(self) -> list[torch.nn.Parameter]:
        """Its parameters without the tied matrix."""
        return list(self.parameters())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of shape ``(places, vocabulary)``."""
        shaped = self.norm(torch.nn.functional.gelu(self.dense(hidden)))
        logits: torch.Tensor = shaped @ self._tied[0].t().to(shaped.dtype) * self.scale + self.bias
        return logits


def zipf(size: int) -> torch.Tensor:
    """Log-frequency to begin with: vocabularies of pieces are sorted by frequency, so it is minus the rank's log."""
    return -torch.arange(1, size + 1, dtype=torch.float32).log()
