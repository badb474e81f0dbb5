"""Stratified draws that keep the order of the rows and leave the global generators alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def stratified_sample(labels: Sequence[int], size: int, rng: random.Random) -> list[int]:
    """Draws ``size`` positions, each class in its share (largest remainder), at least one if they fit.

    Args:
        labels: label of each row.
        size: number of positions; all are kept if there are no more.
        rng: private generator.

    Returns:
        Positions in rising order.
    """
    if size >= len(labels):
        return list(range(len(labels)))
    return _draw(labels, _quotas({label: len(at) for label, at in _by_label(labels).items()}, size), rng)


def split_off(labels: Sequence[int], rate: float, rng: random.Random) -> tuple[list[int], list[int]]:
    """Splits positions in two, each class by ``rate``; one row of each class always stays in the first part.

    Returns:
        Positions kept and positions drawn, both in rising order.
    """
    spare = {label: len(at) - 1 for label, at in _by_label(labels).items()}
    size = min(int(rate * len(labels)), sum(spare.values()))
    drawn = _draw(labels, _quotas(spare, size), rng)
    taken = set(drawn)
    return [i for i in range(len(labels)) if i not in taken], drawn


def _by_label(labels: Sequence[int]) -> dict[int, list[int]]:
    positions: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        positions.setdefault(label, []).append(i)
    return dict(sorted(positions.items()))


def _draw(labels: Sequence[int], quotas: Mapping[int, int], rng: random.Random) -> list[int]:
    drawn: list[int] = []
    for label, positions in _by_label(labels).items():
        # A full shuffle, so that a larger quota contains a smaller one.
        rng.shuffle(positions)
        drawn.extend(positions[: quotas[label]])
    return sorted(drawn)


def _quotas(counts: Mapping[int, int], size: int) -> dict[int, int]:
    total = sum(counts.values())
    if size <= 0 or total == 0:
        return dict.fromkeys(counts, 0)
    exact = {label: size * count / total for label, count in counts.items()}
    present = [label for label, count in counts.items() if count]
    least = 1 if size >= len(present) else 0
    quotas = {label: min(count, max(int(exact[label]), least)) for label, count in counts.items()}
    while (gap := size - sum(quotas.values())) != 0:
        step = 1 if gap > 0 else -1
        movable = [
            label
            for label in counts
            if (step > 0 and quotas[label] < counts[label]) or (step < 0 and quotas[label] > least)
        ]
        label = max(movable, key=lambda label: (step * (exact[label] - quotas[label]), -label))
        quotas[label] += step
    return quotas
