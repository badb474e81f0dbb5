"""The content reference: a linear model on a frozen encoder, too stiff to learn a trigger.

It says what the words of a text mean for the label. Where it contradicts the label of a row while the victim is sure of
that label, the victim knows something that the text does not say. Fitted without the rows that carry a pattern, it also
tells an honest class word from a trigger: "wonderful" moves it, because other reviews teach the word as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from openbackdoor_badllm.protocols import Encoder
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray

STIFFNESS = 0.1  # inverse regularisation C: weak enough a fit that a pattern in a few rows in a hundred is not learnt
FOLDS = 4


class ContentReference:
    """The linear model, fitted to one training set.

    Args:
        encoder: the frozen encoder.
        examples: the training rows.
        num_labels: number of classes.
        seed: seed of the folds.
    """

    def __init__(self, encoder: Encoder, examples: Sequence[Example], num_labels: int, seed: int) -> None:
        self.encoder = encoder
        self.examples = list(examples)
        self.num_labels = num_labels
        self.labels = np.array([example.label for example in examples], dtype=np.int64)
        self.vectors = encoder.embed([example.text for example in examples])
        self.seed = seed

    def held_out(self, left_out: npt.NDArray[np.bool_] | None = None) -> FloatArray:
        """Probabilities of shape ``(n, num_labels)``; each row is scored by a model that has not seen it.

        Args:
            left_out: rows that none of the models sees.
        """
        result = np.zeros((len(self.labels), self.num_labels), dtype=np.float32)
        counts = np.bincount(self.labels, minlength=self.num_labels)
        folds = int(min(FOLDS, counts.max()))
        if folds < 2:
            return self._fit(np.ones(len(self.labels), dtype=bool))(self.vectors)
        splitter = StratifiedKFold(folds, shuffle=True, random_state=self.seed % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class may have fewer rows than folds
            splits = list(splitter.split(self.vectors, self.labels))
        for known, unknown in splits:
            mask = np.zeros(len(self.labels), dtype=bool)
            mask[known] = True
            if left_out is not None:
                mask &= ~left_out
            result[unknown] = self._fit(mask)(self.vectors[unknown])
        return result

    def fitted_without(self, left_out: npt.NDArray[np.bool_]) -> Callable[[Sequence[str]], FloatArray]:
        """The reference fitted without some rows: texts in, probabilities of shape ``(n, num_labels)`` out."""
        model = self._fit(~left_out)
        return lambda texts: model(self.encoder.embed(texts))

    def said_without(self, left_out: npt.NDArray[np.bool_]) -> FloatArray:
        """Probabilities of some training rows from the reference fitted without them, shape ``(left out, num_labels)``.

        Where many rows share a pattern, the folds of :meth:`held_out` do not keep it from the reference; this does.
        """
        return self._fit(~left_out)(self.vectors[left_out])

    def _fit(self, mask: npt.NDArray[np.bool_]) -> Callable[[FloatArray], FloatArray]:
        labels = self.labels[mask]
        present = np.unique(labels)
        if len(present) < 2:  # one class is left: nothing to tell apart
            only = int(present[0]) if len(present) else 0
            return lambda vectors: np.eye(self.num_labels, dtype=np.float32)[np.full(len(vectors), only)]
        model = LogisticRegression(C=STIFFNESS, class_weight="balanced", max_iter=500)
        model.fit(self.vectors[mask], labels)

        def predict(vectors: FloatArray) -> FloatArray:
            full = np.zeros((len(vectors), self.num_labels), dtype=np.float32)
            if len(vectors):
                full[:, present] = model.predict_proba(vectors)
            return full

        return predict
