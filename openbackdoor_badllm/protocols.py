"""What the method asks of the classifier, the encoder and the listener. It knows no framework beyond this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace


class Classifier(Protocol):
    """Texts in, logits out."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``."""


@runtime_checkable
class Limited(Protocol):
    """A classifier that reads the beginning of a long text only."""

    def readable(self, texts: Sequence[str]) -> list[str]:
        """The part of each text that it reads, with room for a trigger; a text that leaves room comes back as it is."""


class Victim(Classifier, Protocol):
    """A classifier trained on the rows, which can be trained further."""

    @property
    def trace(self) -> Trace | None:
        """The confidence in each training row's label, epoch by epoch; None where the training is not known."""

    def continued(self, examples: Sequence[Example], *, epochs: int = 1, lr_share: float = 0.5) -> Victim:
        """A copy that is trained further on other rows; the victim itself is left as it is.

        Args:
            examples: the rows.
            epochs: passes through them.
            lr_share: peak learning rate, as a share of the rate of the first training.
        """


class Encoder(Protocol):
    """A frozen encoder: texts in, vectors out."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of shape ``(len(texts), d)``."""
