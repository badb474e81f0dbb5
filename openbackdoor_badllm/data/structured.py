"""JSON Lines and Parquet files, and the one door to all file types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from openbackdoor_badllm.data.table_files import (
    Record,
    Table,
    cell_text,
    find_columns,
    read_delimited,
    read_text_file,
)
from openbackdoor_badllm.errors import DataError, MissingExtraError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def read_table(path: Path, text_column: str | None = None, label_column: str | None = None) -> Table:
    """Any file with a text and a label column, by its suffix (one of :data:`SUFFIXES`).

    Raises:
        DataError: the type is unknown, a column is missing, a row is malformed, or the file cannot be read.
        MissingExtraError: a Parquet file without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_delimited(path, text_column, label_column)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _read_json(path, text_column, label_column)
    if suffix == ".parquet":
        return _read_parquet(path, text_column, label_column)
    raise DataError(
        f"The file {path} has the type '{path.suffix}', but one of {', '.join(SUFFIXES)} was expected: "
        "convert it, or rename it if it is one of these."
    )


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
    if content.lstrip().startswith("["):
        whole = _loads(content, None, where)
        entries = list(enumerate(whole, start=1)) if isinstance(whole, list) else []
    else:
        # Split at line feeds only: splitlines() would also cut at U+2028 and others inside a text.
        lines = enumerate(content.split("\n"), start=1)
        entries = [(number, _loads(line, number, where)) for number, line in lines if line.strip()]
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


def _loads(content: str, number: int | None, where: str) -> object:
    try:
        # Numbers stay the digits that were written: the text 3.50 must not become 3.5.
        return json.loads(content, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        place = f"Row {number} of {where}" if number is not None else where
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DataError(f"{place} should be JSON, but cannot be parsed ({reason}): mend it.") from error


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
