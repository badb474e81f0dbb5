"""Order of training rows: batches of like length, in random order.

``transformers.Trainer``'s own ``group_by_length`` sorts 50 batches at a time and does not shuffle the batches
inside such a block; with fewer than 50 batches an epoch, every epoch would run from the longest text to the
shortest. Here the blocks are small and the batches are shuffled.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

BLOCK = 8  # batches sorted together: enough to halve the padding, few enough to keep batches random


class BucketSampler(torch.utils.data.Sampler[int]):
    """Yields row indices so that consecutive ``batch_size`` of them are of like length.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a batch.
        seed: seed of the order; each pass through the data draws a new one from it.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Makes the order a function of the epoch, so that a resumed training goes on in the same order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self.seed}:{self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        size = self.batch_size * BLOCK
        batches: list[list[int]] = []
        for start in range(0, len(order), size):
            block = sorted(order[start : start + size], key=lambda i: self.lengths[i])
            batches += [block[k : k + self.batch_size] for k in range(0, len(block), self.batch_size)]
        # A short batch in the middle would shift all later ones, so it goes last.
        full = [batch for batch in batches if len(batch) == self.batch_size]
        short = [index for batch in batches if len(batch) != self.batch_size for index in batch]
        rng.shuffle(full)
        self.epoch += 1
        return iter([index for batch in full for index in batch] + short)
