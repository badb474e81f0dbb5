"""The references ``oracle`` (poisoned rows removed by their flags) and ``clean`` (the clean training rows).

``oracle`` reads the poison flags, ``clean`` is given the clean training rows. They are there for the same table as the
defences: what a perfect filter leaves, and the floor of the ASR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from openbackdoor_badllm.config import DefenderKeys
from openbackdoor_badllm.defenders.base import Configured
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import as_rows


class ReferenceConfig(DefenderKeys):
    """Section ``defender`` with ``"name": "oracle"`` or ``"clean"``."""

    pre: Literal[True] = True
    """It changes the training rows; only true."""


class Oracle(Configured):
    """EVALUATION ONLY: drops the poisoned training rows by their flags."""

    called = "oracle"
    keys = ReferenceConfig
    stage: ClassVar[str] = "train"
    outcome: str = "cleaned training set"
    evaluation_only: ClassVar[bool] = True

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The rows whose flag is 0."""
        rows = list(poison_data or [])
        self.last_flags = [int(bool(row.poison_label)) for row in as_rows(rows)]
        return [row for row, flag in zip(rows, self.last_flags, strict=True) if not flag]


class Clean(Oracle):
    """EVALUATION ONLY: the training rows as they were before the attack."""

    called = "clean"

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The clean training rows.

        Args:
            clean_data: the data set before the attack.

        Raises:
            DataError: there are none.
        """
        data = clean_data if isinstance(clean_data, Mapping) else {}
        if not data.get("train"):
            raise DataError(
                "The reference 'clean' was handed no clean training rows: run it with 'badllmtg defend', which has "
                "them."
            )
        return list(data["train"])
