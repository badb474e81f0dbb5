"""The rows of an audit: from files, standard input or memory, each with the place where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from openbackdoor_badllm.data.dataset import DatasetInfo, Splits, assemble
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.data.sources import Source, read_source
from openbackdoor_badllm.data.structured import read_table
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.evaluation.folder import file_hash
from openbackdoor_badllm.rows import Row

MEMORY = "memory"
"""Name of a data set whose rows are in memory."""


class Place(NamedTuple):
    """Where a row stands: its number among all rows that were given (0 is the first), its file and its line there."""

    row: int
    file: str | None = None
    line: int | None = None


class Places(Sequence[Place]):
    """The places of many rows, held as numbers.

    Args:
        rows: number of each row.
        parts: file and rows of each file that was read, in their order; None where the rows were in memory.
    """

    def __init__(self, rows: Sequence[int], parts: Sequence[tuple[str, Sequence[int]]] | None) -> None:
        self._rows = rows
        self._files = [file for file, _ in parts or ()]
        self._ends = np.cumsum([len(lines) for _, lines in parts or ()])
        self._lines = np.array([line for _, lines in parts or () for line in lines], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Place: ...

    @overload
    def __getitem__(self, index: slice) -> list[Place]: ...

    def __getitem__(self, index: int | slice) -> Place | list[Place]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        row = self._rows[index]
        if not self._files:
            return Place(row)
        return Place(row, self._files[int(np.searchsorted(self._ends, row, side="right"))], int(self._lines[row]))


@dataclass(frozen=True)
class AuditRows:
    """The rows of an audit.

    Attributes:
        train: the rows that are audited.
        test: rows on which the accuracy is told; empty where there are none.
        places: of each row of ``train``.
        info: how the data set came about.
        name: what a reader knows it by.
    """

    train: list[Row]
    test: list[Row]
    places: Sequence[Place]
    info: DatasetInfo
    name: str

    @property
    def label_names(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.info.label_names


def load_rows(
    keys: Mapping[str, Any],
    *,
    more_files: Sequence[str] = (),
    names: Sequence[str] | None = None,
    table: Table | None = None,
) -> AuditRows:
    """Reads the rows; where a classifier is given, its class names tell which label is which of its outputs.

    Args:
        keys: of the data set.
        more_files: files whose rows come after those of ``train_file``.
        names: class names of the given classifier.
        table: the training rows, where they are in memory.

    Raises:
        DataError: a file cannot be read, or its labels are not those of the classifier.
    """
    config = DatasetConfig.from_keys(keys)
    numbered = names is None or all(name.startswith("LABEL_") for name in names)
    own_names = config.label_names is not None
    if not own_names and names is not None and not numbered:
        config = DatasetConfig.from_keys({**keys, "label_names": list(names)})
    source, parts = _source(config, more_files, table)
    data = assemble(config, source)
    told = data.info.label_names
    if not own_names and names is not None and numbered and any(not name.isdigit() for name in told):
        raise DataError(
            f"The rows' labels are {', '.join(told[:10])}, and the model only says {names[0]} to {names[-1]}: name the "
            "classes in its order with --label-names."
        )
    places = Places(data.info.positions["train"], parts)
    return AuditRows(data["train"], data["test"], places, data.info, _name(config, data, more_files))


def content_digest(files: Sequence[str | Path]) -> str:
    """Names what some files hold; of files that are not there any more, nothing that was there."""
    hashes = [file_hash(Path(file)) if Path(file).exists() else "absent" for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(":".join(hashes).encode()).hexdigest()[:16]


def _source(
    config: DatasetConfig, more_files: Sequence[str], table: Table | None
) -> tuple[Source, list[tuple[str, Sequence[int]]] | None]:
    """The raw splits; and the files of the training rows with the line of each row, None of rows in memory."""
    if table is not None:
        tables = {"train": table}
        if config.test_file is not None:
            tables["test"] = read_table(Path(config.test_file), config.text_column, config.label_column)
        return Source(tables, may_draw_test=True), None
    source = read_source(config)
    parts = [source.tables["train"]] if "train" in source.tables else []
    parts += [read_table(Path(file), config.text_column, config.label_column) for file in more_files]
    marks: list[tuple[str, Sequence[int]]] = [
        (part.where, [record.number for record in part.records]) for part in parts
    ]
    if len(parts) > 1:
        records = [record for part in parts for record in part.records]
        # Numbered through: two files both have a row 2.
        joined = [record._replace(number=number) for number, record in enumerate(records, start=1)]
        where = f"{parts[0].where} and {len(parts) - 1} more (rows counted through)"
        source = Source({**source.tables, "train": Table(where, joined)}, source.classes, may_draw_test=True)
    return source, marks


def _name(config: DatasetConfig, data: Splits, more_files: Sequence[str]) -> str:
    if config.name == MEMORY or config.is_hub:
        return "rows in memory" if config.name == MEMORY else config.name
    first = Path(config.train_file or str(data.info.source["train"])).name
    return f"{first} and {len(more_files)} more" if more_files else first
