"""How many tokens a victim reads, and what of a text that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.training.victims import load_tokenizer, longest_input

MOST_GIVEN = 512
"""Tokens read by a model that was given: what most encoders have positions for."""
MOST_TRAINED = 256
"""Tokens read by a victim that is trained here: the cost of attention grows with the square."""
FEWEST = 16
ROOM = 48
"""Tokens kept free for a trigger: a long sentence. At most a quarter of what is read."""
SAMPLE = 5000
"""Rows by which lengths are judged."""


def room(max_len: int) -> int:
    """Tokens of ``max_len`` that are kept free for a trigger."""
    return min(ROOM, max_len // 4)


def token_counts(tokenizer: Any, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Tokens of each text, special ones included; of a regular sample where there are many texts."""
    some = list(texts[:: max(1, len(texts) // SAMPLE)])
    encoded = tokenizer(some, truncation=False, verbose=False)["input_ids"] if some else []
    return np.array([len(ids) for ids in encoded], dtype=np.int64)


def length_for(counts: npt.NDArray[np.int64]) -> int:
    """How many tokens a victim should read: all of 99 rows in 100 and a trigger beside, in whole eights."""
    if not len(counts):
        return FEWEST
    longest = float(np.quantile(counts, 0.99))
    wanted = min(longest + ROOM, longest * 4 / 3)  # see room()
    return int(min(MOST_TRAINED, max(FEWEST, 8 * np.ceil(wanted / 8))))


def pick_length(path: str, texts: Sequence[str]) -> int:
    """How many tokens a victim that is trained on the texts should read.

    Raises:
        VictimError: its tokenizer or config cannot be had.
    """
    tokenizer = load_tokenizer(path)
    return longest_input(path, tokenizer, length_for(token_counts(tokenizer, texts)))


def cut_share(counts: npt.NDArray[np.int64], max_len: int) -> float:
    """Share of the rows of which a victim reads the beginning only."""
    return float((counts > max_len).mean()) if len(counts) else 0.0


def shortened(tokenizer: Any, texts: Sequence[str], limit: int) -> list[str]:
    """The part of each text that ``limit`` tokens hold, at the side that the tokenizer keeps; others as they are."""
    if not texts:
        return []
    whole = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    long = [place for place, ids in enumerate(whole) if len(ids) > limit]
    result = list(texts)
    if not long:
        return result
    if not tokenizer.is_fast:  # it does not say where a token stands
        for place in long:
            text = texts[place]
            result[place] = text[: len(text) * limit // len(whole[place])]
        return result
    cut = tokenizer(
        [texts[place] for place in long], truncation=True, max_length=limit, return_offsets_mapping=True
    )["offset_mapping"]
    for place, offsets in zip(long, cut, strict=True):
        inside = [span for span in offsets if span[1] > span[0]]  # a special token stands nowhere
        if inside:
            result[place] = texts[place][inside[0][0] : inside[-1][1]]
    return result
