"""How surprising each word of a text is: GPT-2 and its kin, or a pretrained encoder made to guess masked words.

ONION asks GPT-2. Where no model hub can be reached, the encoder that the victim was made from is there all the same:
its embedding matrix serves as output layer, its vocabulary's order as the frequency of words. It is taught nothing: a
few hundred clean texts made it worse at telling a trigger (docs/baselines.md). Both models count only what stands in a
text, never the padding beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import transformers

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.scoring import CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, collate, length_batches
from openbackdoor_badllm.training.victims import (
    guarded,
    load_tokenizer,
    pick_device,
    quiet_transformers,
    supports_bf16,
    usable_length,
)

Array = npt.NDArray[np.float64]

STRIDE = 5  # the encoder guesses every fifth word of a text at once: as good as one at a time, for a fifth of the cost
CONTEXT = 8.0  # weight of the context against the frequency; 4 to 8 are alike on SST-2 and AG News


class LanguageModel(Protocol):
    """Tells how surprising words are."""

    name: str

    def surprise(self, texts: Sequence[Sequence[str]]) -> list[Array]:
        """One number for each word of each text; nan for words beyond the model's reach."""


class _Model:
    """A pretrained language model.

    Args:
        path: folder or hub name.
        kind: class of transformers that loads it.
        device: ``gpu`` (where there is one) or ``cpu``.
        max_len: tokens of a text at most; the words beyond have no number.

    Raises:
        VictimError: it cannot be loaded.
    """

    def __init__(self, path: str, kind: Any, *, device: str, max_len: int) -> None:
        def load(source: str) -> Any:
            with quiet_transformers():
                return kind.from_pretrained(source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32)

        self.tokenizer = load_tokenizer(path)
        self.device = pick_device(device)
        self.model = guarded(path, load).to(self.device).eval()
        self.max_len = usable_length(self.model, max_len)

    def batch(self, encoded: Sequence[Sequence[int]], pad: int) -> dict[str, torch.Tensor]:
        """A padded batch on the model's device."""
        return {name: value.to(self.device) for name, value in collate(encoded, pad).items()}

    def half_precision(self) -> torch.autocast:
        """bfloat16 where the device gains by it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=supports_bf16(self.device))


class CausalModel(_Model):
    """Perplexity of a text less that of the text without the word (ONION, Eq. 1).

    Raises:
        VictimError: it cannot be loaded, or has no token that begins a text.
    """

    def __init__(self, path: str, *, device: str = "gpu", max_len: int = 512) -> None:
        super().__init__(path, transformers.AutoModelForCausalLM, device=device, max_len=max_len)
        self.name = path
        self.batch_tokens = CPU_BATCH_TOKENS if self.device.type == "cpu" else 32768
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
            inputs = self.batch([ids[i] for i in batch], self.start)
            with torch.inference_mode(), self.half_precision():
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


class MaskedModel(_Model):
    """A pretrained encoder that guesses masked words, as it is.

    A word's number is the mean negative log-probability of its pieces, given the other words: of each text every fifth
    word is masked, then the next ones, so that a text costs five passes and not one for each word.

    Raises:
        VictimError: it cannot be loaded, or has no mask token.
    """

    def __init__(self, path: str, *, device: str = "gpu", max_len: int = 512) -> None:
        super().__init__(path, transformers.AutoModel, device=device, max_len=max_len)
        self.name = f"masked words guessed by '{path}'"
        self.batch_tokens = CPU_BATCH_TOKENS if self.device.type == "cpu" else GPU_BATCH_TOKENS
        self.mask = self.tokenizer.mask_token_id
        if self.mask is None:
            raise VictimError(f"The encoder '{path}' has no mask token, so it cannot guess words: choose another.")
        self.embeddings = self.model.get_input_embeddings().weight.detach()
        self.frequency = zipf(len(self.embeddings)).to(self.device)

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
                each = self._loss(rows, where, wanted).double().cpu().numpy()
            sums: dict[tuple[int, int], list[float]] = {}
            for (_, _, index, word), value in zip(places, each, strict=True):
                sums.setdefault((index, word), []).append(float(value))
            for (index, word), values in sums.items():
                found[index][word] = float(np.mean(values))
        return found

    def _loss(self, rows: Sequence[Sequence[int]], where: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Negative log-probability of each wanted piece at its masked place; shape ``(places,)``."""
        inputs = self.batch(rows, self.tokenizer.pad_token_id or 0)
        with self.half_precision():
            hidden = self.model(**inputs).last_hidden_state[where[:, 0], where[:, 1]].float()
            width = hidden.shape[1]
            guess = torch.nn.functional.layer_norm(hidden, (width,)) * (CONTEXT / math.sqrt(width))
            logits = torch.nn.functional.linear(guess, self.embeddings).float() + self.frequency
        return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")

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


def zipf(size: int) -> torch.Tensor:
    """Log-frequency of each piece but for a constant: vocabularies are sorted by frequency, so it is minus log rank."""
    return -torch.arange(1, size + 1, dtype=torch.float32).log()
