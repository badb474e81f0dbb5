"""The clean rows that a defence is given: one budget for all, from dev only, drawn alike, whole or in two halves."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind, fingerprint
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.scoring import FloatArray

LEAST = 4  # rows; with fewer neither half can carry anything
PROBES = 8  # texts whose logits tell one model from another

T = TypeVar("T")


class CleanRows(NamedTuple):
    """Clean labelled rows, disjoint halves of one draw.

    Attributes:
        construct: what the defence is built on.
        calibrate: what its threshold is set on.
    """

    construct: list[Example]
    calibrate: list[Example]


def dev_rows(clean_data: Any) -> Sequence[Any]:
    """The dev rows of what a framework hands over as clean data; of a data set no other split is touched."""
    if isinstance(clean_data, Mapping):
        return list(clean_data.get("dev") or clean_data.get("dev-clean") or [])
    return list(clean_data or [])


def draw_clean(rows: Sequence[Any], count: int | None, *, seed: int, least: int, who: str) -> list[Example]:
    """Up to ``count`` of the clean rows (all when None), drawn without replacement; shuffled, without their flags.

    The same draw for every defender with the same seed and count.

    Args:
        least: how many the defence cannot do without.
        who: its name in messages.

    Raises:
        DataError: there are fewer than ``least``.
    """
    examples = blind(rows)
    random.Random(derive(seed, "clean rows")).shuffle(examples)
    drawn = examples if count is None else examples[:count]
    if len(drawn) < least:
        raise DataError(
            f"The defender '{who}' needs at least {least} clean dev rows, but got {len(drawn)}: give the data set a "
            "dev split ('dev_rate', 'dev_file'), or raise 'defender.clean_rows' and 'max_dev'."
        )
    return drawn


def clean_halves(clean_data: Any, count: int, *, seed: int, who: str) -> CleanRows:
    """The same draw in two halves.

    Args:
        clean_data: a data set, of which dev alone is read, or clean rows.
        count: the budget; all of dev where it has fewer rows.
        seed: seed of the draw.
        who: the defender's name, for the message.

    Raises:
        DataError: there are no clean dev rows, or too few.
    """
    drawn = draw_clean(dev_rows(clean_data), count, seed=seed, least=LEAST, who=who)
    half = len(drawn) // 2
    return CleanRows(drawn[:half], drawn[half:])


class Prepared(Generic[T]):
    """What a defender worked out on the clean rows for one victim, kept while both stay the same.

    A framework asks a test-time defender once for each split; constructing it once is enough. The victim is told by its
    answers to a few clean texts, because the same object may have been trained again.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._value: T | None = None

    def get(self, rows: CleanRows, answers: FloatArray) -> T | None:
        """What was kept for these rows and a victim with these answers; None where it is another."""
        return self._value if self._key == self.key(rows, answers) else None

    def keep(self, rows: CleanRows, answers: FloatArray, value: T) -> T:
        """Keeps a value and hands it back."""
        self._key, self._value = self.key(rows, answers), value
        return value

    @staticmethod
    def key(rows: CleanRows, answers: FloatArray) -> tuple[str, str, bytes]:
        """What tells rows and victim."""
        return fingerprint(rows.construct), fingerprint(rows.calibrate), answers.tobytes()


def probes(rows: CleanRows) -> list[str]:
    """A few clean texts to tell a victim by."""
    return [example.text for example in rows.construct[:PROBES]]
