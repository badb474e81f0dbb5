"""Rows in the containers that people have: lists, NumPy arrays, pandas, ``datasets``; and back into the same type."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openbackdoor_badllm.data.labels import plain_label
from openbackdoor_badllm.data.structured import read_table, table_from_columns
from openbackdoor_badllm.data.table_files import TEXT_COLUMNS, find_columns, read_text_file
from openbackdoor_badllm.errors import ConfigError, DataError

Change = tuple[str, Any] | None
"""A new text and a new label value of a row; None: the row is left out."""


@dataclasses.dataclass(frozen=True)
class GivenRows:
    """Labelled texts, and the containers that they came in.

    Attributes:
        texts: one a row.
        labels: one a row, as they came.
        label_names: class names in the order of their indices, where the container tells them.
        containers: what came: the texts' and the labels', or one that holds both.
        columns: names of the text and the label column, where one container holds both.
    """

    texts: list[Any]
    labels: list[Any]
    label_names: tuple[str, ...] | None
    containers: tuple[Any, ...]
    columns: tuple[str, str] | None = None

    def values_by_name(self, index: Mapping[str, int], names: Sequence[str]) -> dict[str, Any]:
        """The label value that stands for each class name."""
        values: dict[str, Any] = {}
        for label in self.labels:
            place = index.get(plain_label(label))
            if place is not None:
                values.setdefault(names[place], label)
        return values

    def changed(self, changes: Mapping[int, Change]) -> Any:
        """The rows in the type in which they came, some of them changed or left out; the order stays.

        Returns:
            One container, or a pair of texts and labels where they came apart.
        """
        texts, labels = list(self.texts), list(self.labels)
        for row, change in changes.items():
            if change is not None:
                texts[row], labels[row] = change
        keep = [row for row in range(len(texts)) if changes.get(row, ()) is not None]
        if self.columns is None:
            return tuple(
                _like(container, [values[row] for row in keep], keep)
                for container, values in zip(self.containers, (texts, labels), strict=True)
            )
        whole = self.containers[0]
        if _is_frame(whole):
            frame = whole.copy()
            for row, change in changes.items():
                if change is not None:
                    for column, value in zip(self.columns, change, strict=True):
                        frame.iloc[row, frame.columns.get_loc(column)] = value
            return frame.iloc[keep]
        told = {**whole.with_format(None).to_dict(), self.columns[0]: texts, self.columns[1]: labels}
        return type(whole).from_dict(told, features=whole.features).select(keep)


def as_given_rows(texts: Any, labels: Any, text_column: str | None, label_column: str | None) -> GivenRows:
    """Takes the rows out of their containers.

    Raises:
        ConfigError: labels are missing, or named twice.
        DataError: the container cannot be used, or has other than one label for each text.
    """
    if _is_frame(texts) or _is_dataset(texts):
        if labels is not None:
            raise ConfigError(
                f"Labels were given beside a {type(texts).__name__}: name its label column with label_column, or give "
                "the texts as one column."
            )
        return _from_columns(texts, text_column, label_column)
    _want_container(texts)
    if labels is None:
        raise ConfigError("The labels are missing: give one for each text, audit(texts, labels).")
    read = _values(texts, "texts"), _values(labels, "labels")
    if len(read[0]) != len(read[1]):
        raise DataError(f"There are {len(read[0])} texts and {len(read[1])} labels: give one label for each text.")
    if not read[0]:
        raise DataError("There are no texts: give labelled rows of at least two classes.")
    return GivenRows(*read, None, (texts, labels))


def as_given_texts(texts: Any, text_column: str | None) -> list[str]:
    """Takes texts without labels out of their container.

    Raises:
        DataError: the container cannot be used.
    """
    if _is_frame(texts) or _is_dataset(texts):
        columns = [str(name) for name in (texts.columns if _is_frame(texts) else texts.column_names)]
        name = text_column or next((name for name in TEXT_COLUMNS if name in columns), None)
        place, _ = find_columns(columns, name, name, f"The {type(texts).__name__}")
        texts = texts.with_format(None)[columns[place]] if _is_dataset(texts) else texts[texts.columns[place]]
    _want_container(texts)
    values = _values(texts, "texts")
    return [record.text for record in table_from_columns(values, [None] * len(values), "the texts").records]


def texts_of_file(path: Path, text_column: str | None) -> list[str]:
    """The texts of a file as every command reads it; labels are no part of them, and need not be there.

    A ``.txt`` file without a header has a text in each line.

    Raises:
        DataError: it cannot be read, or has no column of texts.
    """
    told = ""
    for name in (text_column,) if text_column is not None else TEXT_COLUMNS:
        try:
            return [record.text for record in read_table(path, text_column, name).records]
        except DataError as error:
            told = str(error)
            if path.suffix.lower() == ".txt" and text_column is None and told.endswith("with the key text_column."):
                return [line for line in read_text_file(path).splitlines() if line.strip()]
            if not told.endswith("with the key label_column."):
                raise
    raise DataError(told)


def _want_container(texts: Any) -> None:
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        raise DataError(
            f"The texts should be a list, an array, a Series, a DataFrame or a Dataset, but are a "
            f"{type(texts).__name__}: give one of these (of a DatasetDict, one split)."
        )


def _from_columns(whole: Any, text_column: str | None, label_column: str | None) -> GivenRows:
    columns = [str(name) for name in (whole.columns if _is_frame(whole) else whole.column_names)]
    places = find_columns(columns, text_column, label_column, f"The {type(whole).__name__}")
    text, label = (columns[place] for place in places)
    names = None
    if _is_dataset(whole):
        declared = getattr(whole.features[label], "names", None)
        names = tuple(map(str, declared)) if declared else None
        whole = whole.with_format(None)
        return GivenRows(list(whole[text]), list(whole[label]), names, (whole,), (text, label))
    return GivenRows(whole[text].tolist(), whole[label].tolist(), names, (whole,), (text, label))


def _values(container: Any, what: str) -> list[Any]:
    if getattr(container, "ndim", 1) != 1:
        raise DataError(f"The {what} should be one column, but have the shape {tuple(container.shape)}: give one.")
    values = container.tolist() if hasattr(container, "tolist") else list(container)
    return list(values)


def _like(container: Any, values: list[Any], keep: Sequence[int]) -> Any:
    if isinstance(container, np.ndarray):
        return np.array(values, dtype=None if container.dtype.kind in "US" else container.dtype)
    if hasattr(container, "iloc"):
        return type(container)(values, index=container.index[keep], name=container.name, dtype=container.dtype)
    return tuple(values) if isinstance(container, tuple) else values


def _is_frame(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "columns")


def _is_dataset(value: Any) -> bool:
    return hasattr(value, "column_names") and hasattr(value, "features") and hasattr(value, "with_format") and (
        not isinstance(value, Mapping)
    )
