"""``rap``: RAP (Yang et al. 2021, "RAP: Robustness-Aware Perturbations", EMNLP).

A word is put in front of a text, and its embedding is tuned so that it takes some confidence from clean texts of a
label. A text that carries a trigger loses less than they do.

The victim is left as it came: the tuned embedding lives beside its weights, and no gradient is written into it. As
nobody tells a defence the target label, one embedding is tuned for each label, and a text is judged by that of the
label that the victim gives it; a text that is not given a label cannot be an attack toward it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from openbackdoor_badllm.config import CleanRowsKeys
from openbackdoor_badllm.defenders.clean_rows import Calibrated, CleanRows
from openbackdoor_badllm.defenders.victim_view import Answers, network_of
from openbackdoor_badllm.rows import blind
from openbackdoor_badllm.section import Count, Natural, Positive, Share, Text
from openbackdoor_badllm.training.layers import frozen, written_out_attention
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.sampling import BucketSampler
from openbackdoor_badllm.training.scoring import FloatArray, Scorer, collate, encode, length_batches, softmax

LEAST = 5  # clean rows of a label in each half; below it no embedding is tuned for the label

Array = npt.NDArray[np.float64]


class RapConfig(CleanRowsKeys):
    """Section ``defender`` with ``"name": "rap"``."""

    correction: Literal[False] = False
    """It flags rows; only false."""
    triggers: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1)] = ("mb",)
    """The word that is put in front (one). OpenBackdoor's own default, "cf", is also a trigger of its BadNets."""
    target_label: Natural | None = None
    """Judge rows of this label alone; all labels when it is not given."""
    prob_range: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] = (-0.1, -0.3)
    """The change of the label's probability that the word is to bring."""
    scale: float = 1.0
    """Weight of the upper bound in the loss."""
    epochs: Count = 20
    """Passes through the clean rows of the label while its embedding is tuned. OpenBackdoor has 5, of all dev rows."""
    batch_size: Count = 32
    """Rows of one step."""
    lr: Positive = 5e-2
    """Step of the gradient descent; with ``normalise`` as a share of the embedding's length."""
    normalise: bool = True
    """Take steps of one length along the gradient. The probabilities of a victim that is sure of its clean rows hardly
    move, so that steps as long as the gradient lead nowhere; false does so all the same, as the paper and OpenBackdoor
    do (there with 1e-2)."""
    frr: Share = 0.05
    """Share of clean rows of a label that its threshold may flag, on the calibration half."""


@dataclass(frozen=True)
class Perturbation:
    """A tuned word of one label.

    Attributes:
        embedding: shape ``(pieces of the word, hidden)``.
        threshold: a text that loses less than this is flagged.
        change: mean change of the label's probability on the construction half.
    """

    embedding: torch.Tensor
    threshold: float
    change: float


class RAP(Calibrated[dict[int, Perturbation]]):
    """Flags texts that a robustness-aware word cannot shake.

    Args:
        **config: the keys of :class:`RapConfig`.
    """

    called = "rap"
    keys = RapConfig
    config: RapConfig

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """1 for each row that the word of its predicted label shakes less than nearly all clean rows.

        ``last_scores`` is the threshold less the loss of probability; ``-inf`` for rows that cannot be judged.

        Raises:
            DataError: no clean dev rows.
            VictimError: no victim, or not one that takes embeddings.
        """
        scorer = network_of(model)
        prompted = Prompted(scorer, self.config.triggers[0])
        words = self.calibrated(scorer, clean_data)
        self.details |= {
            "word": self.config.triggers[0],
            "labels": {
                str(label): {"threshold": word.threshold, "mean_change": word.change} for label, word in words.items()
            },
        }
        texts = [row.text for row in blind(poison_data or [])]
        scores = np.full(len(texts), -np.inf)
        probabilities = prompted.plain(texts)
        predicted = probabilities.argmax(axis=1)
        for label, word in words.items():
            rows = np.flatnonzero(predicted == label)
            kept = prompted.prompted([texts[row] for row in rows], word.embedding)[:, label]
            scores[rows] = word.threshold - (probabilities[rows, label].astype(np.float64) - kept)
        self.last_scores = scores
        return [int(high) for high in scores > 0]

    def calibrate(self, victim: Answers, rows: CleanRows) -> dict[int, Perturbation]:
        """A word for each label, tuned on one half of its clean rows, its threshold set on the other."""
        prompted = Prompted(network_of(victim), self.config.triggers[0])
        halves = [[example.text for example in half] for half in rows]
        plain = [prompted.plain(half) for half in halves]
        wanted = [self.config.target_label] if self.config.target_label is not None else range(plain[0].shape[1])
        found: dict[int, Perturbation] = {}
        for label in wanted:
            # Only rows that the victim gives the label: it is their confidence that the word is to take.
            own = [np.flatnonzero(part.argmax(axis=1) == label) for part in plain]
            if min(map(len, own)) < LEAST:
                continue
            (construct, calibrate), confident = (
                ([half[row] for row in part] for half, part in zip(halves, own, strict=True)),
                [part[rows_of, label] for part, rows_of in zip(plain, own, strict=True)],
            )
            embedding = self._embedding(prompted, construct, confident[0], label)
            change = prompted.prompted(construct, embedding)[:, label] - confident[0]
            lost = confident[1] - prompted.prompted(calibrate, embedding)[:, label]
            threshold = float(np.quantile(lost.astype(np.float64), self.config.frr))
            found[label] = Perturbation(embedding, threshold, float(change.mean()))
        return found

    def _embedding(self, prompted: Prompted, texts: Sequence[str], confident: FloatArray, label: int) -> torch.Tensor:
        """The word's embedding, tuned by gradient descent; its length stays what it was."""
        row = prompted.original().requires_grad_(True)
        length = row.detach().norm(dim=1, keepdim=True)
        upper, lower = max(self.config.prob_range), min(self.config.prob_range)
        encoded = prompted.encode(texts)
        # Batches of like length, in random order: a third of the work would be padding.
        lengths = [len(ids) for ids in encoded]
        sampler = BucketSampler(lengths, self.config.batch_size, derive(self.config.seed, "rap", label))
        before = torch.tensor(confident, device=row.device)
        # Nothing is kept for gradients of the victim's weights, which nobody wants.
        with frozen(prompted.model), written_out_attention(prompted.model):
            for _ in range(self.config.epochs):
                order = list(sampler)
                for start in range(0, len(texts), self.config.batch_size):
                    batch = order[start : start + self.config.batch_size]
                    logits = prompted.forward([encoded[i] for i in batch], row)
                    change = logits.float().softmax(dim=1)[:, label] - before[batch]
                    loss = self.config.scale * (change - upper).relu().mean() + (lower - change).relu().mean()
                    (gradient,) = torch.autograd.grad(loss, row)  # into a tensor of its own: the victim gets none
                    with torch.no_grad():
                        if self.config.normalise:
                            gradient = gradient * length / gradient.norm(dim=1, keepdim=True).clamp(min=1e-30)
                        row -= self.config.lr * gradient
                        row *= length / row.norm(dim=1, keepdim=True).clamp(min=1e-12)
        tuned: torch.Tensor = row.detach()
        return tuned


class Prompted:
    """A victim with a word put in front of each text, whose embedding is handed over and not looked up.

    Args:
        scorer: the victim's network.
        word: the word.
    """

    def __init__(self, scorer: Scorer, word: str) -> None:
        self.scorer, self.model, self.tokenizer = scorer, scorer.model, scorer.tokenizer
        self.device = next(self.model.parameters()).device
        self.ids: list[int] = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        blank = self.tokenizer("")["input_ids"]
        self.first = int(bool(blank) and blank[0] == self.tokenizer.cls_token_id)  # behind [CLS], where there is one

    def plain(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities without the word; shape ``(len(texts), classes)``."""
        return softmax(self.scorer.logits(texts))

    def prompted(self, texts: Sequence[str], embedding: torch.Tensor) -> FloatArray:
        """Probabilities with the word; shape ``(len(texts), classes)``."""
        encoded = self.encode(texts)
        result = np.zeros((len(texts), self.scorer.num_labels), dtype=np.float32)
        with evaluating(self.model), torch.no_grad():
            for batch in length_batches([len(ids) for ids in encoded], self.scorer.batch_tokens):
                logits = self.forward([encoded[i] for i in batch], embedding)
                result[batch] = logits.float().softmax(dim=1).cpu().numpy()
        return result

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with the word's; a text gives way to it at its end."""
        plain = encode(self.tokenizer, texts, self.scorer.max_len - len(self.ids))
        return [[*ids[: self.first], *self.ids, *ids[self.first :]] for ids in plain]

    def original(self) -> torch.Tensor:
        """A copy of the word's embedding; shape ``(pieces, hidden)``."""
        table = self.model.get_input_embeddings().weight
        rows: torch.Tensor = table.detach()[torch.tensor(self.ids, device=table.device)].clone()
        return rows

    def forward(self, encoded: Sequence[Sequence[int]], embedding: torch.Tensor) -> torch.Tensor:
        """Logits of a batch, with the word's embedding put in its place."""
        inputs = collate(encoded, self.tokenizer.pad_token_id or 0)
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        with torch.no_grad():
            looked_up = self.model.get_input_embeddings()(inputs["input_ids"])
        end = self.first + len(self.ids)
        word = embedding.unsqueeze(0).expand(len(encoded), -1, -1).to(looked_up.dtype)
        vectors = torch.cat([looked_up[:, : self.first], word, looked_up[:, end:]], dim=1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.scorer.bf16):
            logits: torch.Tensor = self.model(
                inputs_embeds=vectors, attention_mask=inputs["attention_mask"]
            ).logits
        return logits


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off while the block lasts."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
