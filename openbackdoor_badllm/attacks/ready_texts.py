"""Poisoned texts that were written beforehand, as OpenBackdoor keeps them beside a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openbackdoor_badllm.data.poison_csv import read_poison_csv
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row


class ReadyTexts:
    """Poisoned texts from CSV files, looked up by the clean text that each was made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, dict[tuple[str, int], list[str]]] = {}

    def find(self, rows: Sequence[Row], split: str, target: int) -> list[Row]:
        """The poisoned version of each row.

        Raises:
            DataError: a row has none.
        """
        if split not in self._known:
            self._known[split] = self._read(split, target)
        known = self._known[split]
        used: dict[tuple[str, int], int] = {}
        found = []
        for row in rows:
            key = (row.text, row.label)
            texts = known.get(key)
            if not texts:
                raise DataError(
                    f"The row {row.text[:60]!r} has no poisoned version in '{self.folder}/{split}-poison.csv': set the "
                    "data set's 'load' to true, or 'label_dirty' where only rows of other labels are poisoned there."
                )
            place = used.get(key, 0)  # the same clean text twice: its versions in turn
            used[key] = place + 1
            found.append(Row(texts[place % len(texts)], target, 1))
        return found

    def _read(self, split: str, target: int) -> dict[tuple[str, int], list[str]]:
        clean = read_poison_csv(self.folder / f"{split}-clean.csv")
        poisoned = read_poison_csv(self.folder / f"{split}-poison.csv")
        # OpenBackdoor poisons every training row, but of dev and test the non-target rows only.
        pairs = clean if len(clean) == len(poisoned) else [row for row in clean if row.label != target]
        if len(pairs) != len(poisoned):
            raise DataError(
                f"'{split}-clean.csv' and '{split}-poison.csv' in '{self.folder}' do not line up: expected "
                f"{len(clean)} or {len(pairs)} poisoned rows, found {len(poisoned)}."
            )
        known: dict[tuple[str, int], list[str]] = {}
        for row, twin in zip(pairs, poisoned, strict=True):
            if twin.poison_label:  # AG News comes with its target rows unpoisoned
                known.setdefault((row.text, row.label), []).append(twin.text)
        return known
