"""Detection: how many neurons are where clean rows have them (BadActs, normal activation state).

Each neuron of each block, at ``[CLS]``, gets a Gaussian from clean rows. A text's score is the share of neurons within
``delta`` standard deviations of their mean; a text whose share falls below what most other clean rows reach is flagged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.training.layers import first_token_states
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.scoring import FloatArray, Scorer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NormalStates:
    """A Gaussian for every neuron.

    Attributes:
        mean: shape ``(layers * hidden,)``.
        deviation: population standard deviation, same shape.
    """

    mean: Floats
    deviation: Floats

    @staticmethod
    def fit(scorer: Scorer, texts: Sequence[str]) -> NormalStates:
        """The maximum-likelihood Gaussians of the texts' states; batches are merged, so that no table is kept."""
        count = 0
        mean: Any = 0.0
        squares: Any = 0.0
        for batch, states, _ in first_token_states(scorer, texts):
            values = states.double().numpy()
            moved = values.mean(axis=0) - mean
            total = count + len(batch)
            squares = squares + len(batch) * values.var(axis=0) + moved**2 * count * len(batch) / total
            mean = mean + moved * len(batch) / total
            count = total
        return NormalStates(np.asarray(mean), np.sqrt(np.asarray(squares) / count))

    def share_inside(
        self, scorer: Scorer, texts: Sequence[str], *, delta: float, progress: Progress | None = None
    ) -> Floats:
        """``S(x) = mean_j 1[mean_j - delta dev_j <= v_j(x) <= mean_j + delta dev_j]``; shape ``(len(texts),)``."""
        return self.watch(scorer, texts, delta=delta, progress=progress)[0]

    def watch(
        self, scorer: Scorer, texts: Sequence[str], *, delta: float, progress: Progress | None = None
    ) -> tuple[Floats, FloatArray]:
        """:meth:`share_inside`, and the logits that came out of the same pass, ``(len(texts), num_labels)``."""
        lower, upper = self.mean - delta * self.deviation, self.mean + delta * self.deviation
        unique: dict[str, int] = {}
        inverse = np.array([unique.setdefault(text, len(unique)) for text in texts], dtype=np.int64)
        shares = np.zeros(len(unique))
        logits = np.zeros((len(unique), scorer.num_labels), dtype=np.float32)
        done = 0
        for batch, states, said in first_token_states(scorer, list(unique)):
            values = states.double().numpy()
            shares[batch] = ((lower <= values) & (values <= upper)).mean(axis=1)
            logits[batch] = said.numpy()
            done += len(batch)
            (progress or Quiet()).step(done, len(unique))
        return shares[inverse], logits[inverse]


class Judged(NamedTuple):
    """What a detector says of texts.

    Attributes:
        scores: share of neurons outside their interval (higher: more suspicious); shape ``(texts,)``.
        flags: whether a text is flagged; shape ``(texts,)``.
        logits: what the victim said while it was watched; shape ``(texts, num_labels)``.
    """

    scores: Floats
    flags: npt.NDArray[np.bool_]
    logits: FloatArray


@dataclass(frozen=True)
class Detector:
    """Gaussians and the share below which a text is flagged."""

    states: NormalStates
    delta: float
    threshold: float

    @staticmethod
    def calibrate(
        scorer: Scorer, fit: Sequence[str], calibrate: Sequence[str], *, delta: float, frr: float
    ) -> Detector:
        """Fits on one set of clean texts and puts the threshold at the ``frr`` quantile of another one's scores."""
        states = NormalStates.fit(scorer, fit)
        shares = np.sort(states.share_inside(scorer, calibrate, delta=delta))
        return Detector(states, delta, float(shares[math.floor(len(shares) * frr)]))

    def judge(self, scorer: Scorer, texts: Sequence[str], progress: Progress | None = None) -> Judged:
        """Scores, flags, and what the victim says of the texts, in one pass."""
        inside, logits = self.states.watch(scorer, texts, delta=self.delta, progress=progress)
        return Judged(1 - inside, inside < self.threshold, logits)
