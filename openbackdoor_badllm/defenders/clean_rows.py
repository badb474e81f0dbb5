"""The clean rows that a defence is given: one budget for all, from dev only, drawn alike, whole or in two halves."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from openbackdoor_badllm.config import CleanRowsKeys
from openbackdoor_badllm.defenders.base import Configured
from openbackdoor_badllm.defenders.victim_view import Answers
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind, fingerprint
from openbackdoor_badllm.training.rng import derive

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


class Calibrated(Configured, Generic[T]):
    """A defender at test time that is calibrated on clean rows, once for a victim.

    A framework asks once for each split. The victim is told by its answers to a few clean texts, because the same
    object may have been trained again.
    """

    clean_rows_needed: ClassVar[bool] = True
    config: CleanRowsKeys
    _calibrated: tuple[object, T] | None = None

    def calibrated(self, victim: Answers, clean_data: Any) -> T:
        """What :meth:`calibrate` made of the clean rows for this victim.

        Raises:
            DataError: there are no clean dev rows, or too few.
        """
        rows = clean_halves(clean_data, self.config.clean_rows, seed=self.config.seed, who=self.name)
        answers = victim.logits([example.text for example in rows.construct[:PROBES]])
        key = fingerprint(rows.construct), fingerprint(rows.calibrate), answers.tobytes()
        if self._calibrated is None or self._calibrated[0] != key:
            self._calibrated = key, self.calibrate(victim, rows)
        self.details = {"clean_rows": len(rows.construct) + len(rows.calibrate)}
        return self._calibrated[1]

    def calibrate(self, victim: Answers, rows: CleanRows) -> T:
        """What the defence needs to know: built on one half of the rows, its threshold set on the other."""
        raise NotImplementedError
