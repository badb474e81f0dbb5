"""JSON and Parquet files and saved data sets, and the one door to all file types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.data.dataset_config import SPLIT_NAMES
from openbackdoor_badllm.data.table_files import (
    LABEL_COLUMNS,
    TEXT_COLUMNS,
    Record,
    Table,
    cell_text,
    find_columns,
    read_delimited,
    read_text_file,
)
from openbackdoor_badllm.errors import DataError, MissingExtraError

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")


def read_table(
    path: Path, text_column: str | None = None, label_column: str | None = None, *, split: str = "train"
) -> Table:
    """Any file with a text and a label column, by its suffix (one of :data:`SUFFIXES`), or a saved data set.

    Args:
        path: the file, or a folder that ``datasets`` wrote with ``save_to_disk``.
        text_column: its column of texts; found by its name where None.
        label_column: the same for the labels.
        split: which split of a saved data set that has several.

    Raises:
        DataError: the type is unknown, a column is missing, a row is malformed, or the file cannot be read.
        MissingExtraError: a Parquet file without pyarrow, a saved data set without ``datasets``.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_saved(path, text_column, label_column, split)
    if suffix in (".csv", ".tsv", ".txt"):
        return read_delimited(path, text_column, label_column)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _read_json(path, text_column, label_column)
    if suffix == ".parquet":
        return _read_parquet(path, text_column, label_column)
    raise DataError(
        f"The file {path} has the type '{path.suffix}', but one of {', '.join(SUFFIXES)} was expected: "
        "convert it, or rename it if it is one of these."
    )


def saved_splits(folder: Path) -> list[str]:
    """The splits of a folder that ``datasets`` wrote with ``save_to_disk``; none of any other folder."""
    if (folder / "dataset_dict.json").is_file():
        return [split for split, usual in SPLIT_NAMES.items() if any((folder / name).is_dir() for name in usual)]
    return ["train"] if (folder / "dataset_info.json").is_file() else []


def table_from_dataset(part: Any, text_column: str | None, label_column: str | None, where: str) -> Table:
    """A table from one split of the package ``datasets``, with the class names that it declares."""
    columns = list(part.column_names)
    text_at, label_at = find_columns(columns, text_column, label_column, where)
    table = table_from_columns(list(part[columns[text_at]]), list(part[columns[label_at]]), where)
    declared = getattr(part.features[columns[label_at]], "names", None)
    return table._replace(names=tuple(map(str, declared)) if declared else None)


def table_from_columns(
    texts: Sequence[object], labels: Sequence[object], where: str, *, first_number: int = 1
) -> Table:
    """A table from two columns of any cell type; rows are counted from ``first_number``."""
    rows = enumerate(zip(texts, labels, strict=True), start=first_number)
    return Table(
        where, [Record(number, cell_text(text, number, where), label) for number, (text, label) in rows]
    )


def _read_json(path: Path, text_column: str | None, label_column: str | None) -> Table:
    where = str(path)
    objects = _json_objects(read_text_file(path), where)
    if not objects:
        raise DataError(
            f"The file {where} should hold JSON objects, one a line, but is empty: put rows in it."
        )
    columns = list(objects[0][1])
    text_at, label_at = find_columns(columns, text_column, label_column, where)
    text_key, label_key = columns[text_at], columns[label_at]
    records = []
    for number, entry in objects:
        for key in (text_key, label_key):
            if key not in entry:
                raise DataError(
                    f"Row {number} of {where} should have the key '{key}', but has "
                    f"{', '.join(map(repr, entry)) or 'none'}: complete it."
                )
        records.append(Record(number, cell_text(entry[text_key], number, where), entry[label_key]))
    return Table(where, records)


def _json_objects(content: str, where: str) -> list[tuple[int, Mapping[str, object]]]:
    try:
        entries = list(enumerate(_rows_of(_parse(content)), start=1))
    except (ValueError, RecursionError) as error:
        # Split at line feeds only: splitlines() would also cut at U+2028 and others inside a text.
        lines = [(number, line) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]
        if content.lstrip().startswith("["):
            raise _not_json(where, error) from error
        entries = [(number, _loads(line, number, where)) for number, line in lines]
    objects: list[tuple[int, Mapping[str, object]]] = []
    for number, entry in entries:
        if not isinstance(entry, dict):
            raise DataError(
                f"Row {number} of {where} should be a JSON object, but is a {type(entry).__name__}: write it "
                "as "
                '{"text": ..., "label": ...}.'
            )
        objects.append((number, entry))
    return objects


def _rows_of(whole: object) -> Iterable[object]:
    """The rows of one JSON value: a list, or what pandas' ``to_json`` and ``datasets``' ``to_dict`` write."""
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, dict):
        return [whole]
    data, columns = whole.get("data"), whole.get("columns")
    if isinstance(data, list):  # orient "split", or "table"
        named = isinstance(columns, list)
        return [dict(zip(map(str, columns or ()), row, strict=False)) if named else row for row in data]
    values = list(whole.values())
    if values and all(isinstance(value, list) for value in values):
        return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]
    if not values or not all(isinstance(value, dict) for value in values):
        return [whole]
    outside, inside = (sum(name in keys for name in TEXT_COLUMNS + LABEL_COLUMNS) for keys in (whole, values[0]))
    if outside > inside or (outside == inside and len(whole) < len(values[0])):  # orient "columns", not "index"
        return [{name: column.get(key) for name, column in whole.items()} for key in values[0]]
    return values


def _loads(content: str, number: int, where: str) -> object:
    try:
        return _parse(content)
    except (ValueError, RecursionError) as error:
        raise _not_json(f"Row {number} of {where}", error) from error


def _parse(content: str) -> object:
    # Numbers stay the digits that were written: the text 3.50 must not become 3.5.
    return json.loads(content, parse_float=str, parse_int=str, parse_constant=str)


def _not_json(place: str, error: Exception) -> DataError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
    return DataError(f"{place} should be JSON, but cannot be parsed ({reason}): mend it.")


def _read_saved(folder: Path, text_column: str | None, label_column: str | None, split: str) -> Table:
    if not saved_splits(folder):
        raise DataError(f"{folder} is a folder, but a file of rows or a data set saved by save_to_disk was expected.")
    try:
        import datasets

        # A working directory with OpenBackdoor's folder datasets/ imports as an empty namespace package.
        load = datasets.load_from_disk
    except (ImportError, AttributeError) as error:
        raise MissingExtraError("datasets", "hub", f"Reading the saved data set {folder.name}") from error
    try:
        loaded = load(str(folder))
    except Exception as error:  # whatever pyarrow or the package raises of a damaged file
        raise DataError(f"The saved data set {folder} cannot be read ({_first_line(error)}): save it again.") from error
    where = str(folder)
    if isinstance(loaded, dict):
        name = next((name for name in SPLIT_NAMES[split] if name in loaded), None)
        if name is None:
            raise DataError(
                f"The saved data set {folder} should have a {split} split, but has {', '.join(loaded) or 'none'}: "
                "name the folder of one of them."
            )
        loaded, where = loaded[name], f"{where}, split '{name}'"
    return table_from_dataset(loaded, text_column, label_column, where)


def _read_parquet(path: Path, text_column: str | None, label_column: str | None) -> Table:
    where = str(path)
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", f"Reading the Parquet file {path.name}") from error
    if not path.is_file():
        raise DataError(f"The file {where} was expected but is not there: check the path.")
    try:
        columns = [str(name) for name in parquet.read_schema(path).names]
        text_at, label_at = find_columns(columns, text_column, label_column, where)
        wanted = [columns[text_at], columns[label_at]]
        table = parquet.read_table(path, columns=sorted(set(wanted)))
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
        raise DataError(
            f"The file {where} should be Parquet, but cannot be read ({_first_line(error)})."
        ) from error
    return table_from_columns(table[wanted[0]].to_pylist(), table[wanted[1]].to_pylist(), where)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
