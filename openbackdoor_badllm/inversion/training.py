"""What the method asks of whoever trains its victims: rows in, a trained victim out. It knows no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import Victim
from openbackdoor_badllm.training.tracing import Trace, TraceRequest


class Trained(Victim, Protocol):
    """A trained victim, with its trace where one was asked for."""

    @property
    def trace(self) -> Trace | None:
        """The confidence trace."""


class TrainVictim(Protocol):
    """Trains a fresh victim on rows."""

    def __call__(
        self,
        examples: Sequence[Example],
        *,
        balanced: bool,
        trace: TraceRequest | None,
        length: int = 1,
        attempt: int = 0,
    ) -> Trained:
        """The trained victim; ``length`` times as many epochs as usual, another seed for each ``attempt``."""
