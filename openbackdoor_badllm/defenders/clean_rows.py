"""The clean rows that a defence may use: dev rows alone, as many as its config allows, in an order of its own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.engine.rng import derive
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, blind


def dev_rows(clean_data: Any) -> Sequence[Any]:
    """The dev rows of what a framework hands to ``detect`` as its clean data; no other split is touched."""
    if isinstance(clean_data, Mapping):
        return list(clean_data.get("dev") or clean_data.get("dev-clean") or [])
    return list(clean_data or [])


def draw_clean(rows: Sequence[Any], count: int | None, *, seed: int, least: int, who: str) -> list[Example]:
    """Up to ``count`` of the clean rows (all when None), drawn without replacement; shuffled, without their flags.

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
