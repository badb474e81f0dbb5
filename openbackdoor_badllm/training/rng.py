"""Isolated and derived random generators.

OpenBackdoor draws its poison from the global generators, so a draw made by a defender would change
the poison that is drawn after it, and runs with and without a defence could not be compared. Libraries
that insist on the global generators (``transformers.Trainer`` seeds them in its constructor) are run
inside :func:`isolated_rng`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seeds Python's, NumPy's and torch's global generators, and puts them back as they were.

    Args:
        seed: seed inside the block; at most 2**32 - 1.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def derive(seed: int, *path: object) -> int:
    """A seed for one named purpose, independent of the order in which purposes are met.

    Args:
        seed: the run's seed.
        path: what the numbers are for, for instance ``("poison", "train")``.
    """
    return random.Random(":".join([str(seed), *map(str, path)])).randrange(2**31)
