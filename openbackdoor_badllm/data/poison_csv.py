"""The CSV layout in which OpenBackdoor keeps clean and poisoned rows: index, text, label, poison flag.

Its header is ``,0,1,2``. OpenBackdoor reads these files so that the texts "null", "NA" and "" become NaN;
here they stay texts. Row i of one file belongs to row i of another, so no row is ever dropped, not even one
without text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from openbackdoor_badllm.data.labels import plain_label
from openbackdoor_badllm.data.table_files import Record, Table, check_width, read_text_file, split_csv
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row, as_rows

HEADER = ["", "0", "1", "2"]


def read_poison_csv(path: str | Path) -> list[Row]:
    """Reads a clean or poisoned split in OpenBackdoor's layout.

    Args:
        path: CSV file with the header ``,0,1,2``.

    Returns:
        All rows in file order; texts are never altered, labels are 0-based.

    Raises:
        DataError: the file is missing, unreadable, has another header or a malformed row.
    """
    rows = []
    table = read_poison_table(Path(path))
    for record in table.records:
        label = plain_label(record.label)
        if not label.isdecimal():
            raise DataError(
                f"Row {record.number} of {table.where} should have a label 0, 1, 2, ..., but has "
                f"{record.label!r}: mend it, or have the file made again with load false."
            )
        rows.append(Row(record.text, int(label), record.flag))
    return rows


def read_poison_table(path: Path) -> Table:
    """The same, labels as they stand in the file."""
    where = str(path)
    lines = split_csv(read_text_file(path), where)
    header = lines[0].fields if lines else []
    if header != HEADER:
        raise DataError(
            f"The file {where} should have OpenBackdoor's header ',0,1,2' (index, text, label, poison flag), "
            f"but has {','.join(header)[:80]!r}: have it made again with load false, or read it with path "
            "and text_column."
        )
    records = []
    for line in lines[1:]:
        check_width(line, len(HEADER), where)
        _, text, label, flag = line.fields
        if plain_label(flag) not in ("0", "1"):
            raise DataError(
                f"Row {line.number} of {where} should have the poison flag 0 or 1, but has {flag!r}: mend "
                "it, or have the file made again with load false."
            )
        records.append(Record(line.number, text, label, int(plain_label(flag))))
    return Table(where, records)


def write_poison_csv(path: str | Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows in OpenBackdoor's layout; :func:`read_poison_csv` gives them back unaltered.

    The file appears whole or not at all. Missing folders are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(HEADER)]
    lines += [
        f"{i},{_quoted(row.text)},{row.label},{row.poison_label}" for i, row in enumerate(as_rows(rows))
    ]
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(("\n".join(lines) + "\n").encode("utf-8", "replace"))
    partial.replace(target)


def _quoted(text: str) -> str:
    # By hand: the csv module leaves a lone carriage return unquoted, which then reads as a line end.
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
