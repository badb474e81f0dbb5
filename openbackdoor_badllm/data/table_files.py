"""Files of texts and labels: CSV, TSV, JSON Lines and Parquet, read into one form.

Every cell stays the text that stands in the file: "nan", "NA", "null", "3.50" and "" are texts here, never
numbers and never missing values. Nothing in a cell is evaluated, and no path is built from one.
"""

from __future__ import annotations

import codecs
import csv
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import as_text

TEXT_COLUMNS = ("text", "sentence", "content", "review", "comment", "tweet")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")


class Record(NamedTuple):
    """One row of a file, before its label is known to be a class.

    Attributes:
        number: row in the file, as a spreadsheet or an editor counts it (a header is row 1).
        text: the text as it stands there.
        label: the label as it stands there.
        flag: poison flag, for evaluation only; 0 where the file has none.
    """

    number: int
    text: str
    label: object
    flag: int = 0


class Table(NamedTuple):
    """The records of one split.

    Attributes:
        where: where they come from, for messages.
        records: the rows.
        names: class names that the file itself declares, in the order of their indices.
    """

    where: str
    records: list[Record]
    names: tuple[str, ...] | None = None


class Line(NamedTuple):
    """The fields of one row of a CSV or TSV file."""

    number: int
    fields: list[str]


def read_text_file(path: Path) -> str:
    """A whole UTF-8, UTF-16 or UTF-32 file, without its byte order mark; line ends as they are.

    Raises:
        DataError: the file is missing, unreadable or in another encoding.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"The file {path} was expected but is not there: check the path.") from None
    except OSError as error:
        raise DataError(f"The file {path} cannot be read ({error.strerror or error}): check it.") from error
    encoding = _encoding(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise DataError(
                f"The file {path} begins as {encoding.upper()} and is not ({error.reason}): save it as UTF-8."
            ) from None
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"The file {path} should be UTF-8 text, but line {line} holds the byte 0x{raw[error.start]:02x}: "
            "save it as UTF-8 (for example  iconv -f latin1 -t utf-8)."
        ) from None


def _encoding(raw: bytes) -> str:
    """By the byte order mark; without one, by the zero bytes that UTF-16 has in the letters of a header."""
    for marks, encoding in (
        ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"), ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
    ):
        if raw.startswith(marks):
            return encoding
    high, low = raw[:64:2].count(0), raw[1:64:2].count(0)
    if max(high, low) < 4:
        return "utf-8-sig"
    return "utf-16-le" if low > high else "utf-16-be"


def split_csv(content: str, where: str, delimiter: str = ",") -> list[Line]:
    """The rows of a CSV text; blank lines are left out, quoted line breaks kept.

    Raises:
        DataError: a quotation mark is never closed, or stands in the middle of a quoted cell.
    """
    return _parsed(content, where, delimiter, csv.QUOTE_MINIMAL)


def split_tsv(content: str, where: str) -> list[Line]:
    """The rows of a TSV text, whether its quotation marks quote cells or are part of the texts.

    Both kinds are in use: pandas writes cells in quotes where need be, other tools write the bare text, in
    which a leading quotation mark means nothing and would swallow rows. Cells count as quoted where the whole
    file reads so without an error, each row as wide as the header, and no cell swallows a row.
    """
    try:
        quoted = _parsed(content, where, "\t", csv.QUOTE_MINIMAL)
    except DataError:
        return _parsed(content, where, "\t", csv.QUOTE_NONE)
    swallowed = any("\t" in field and "\n" in field for line in quoted for field in line.fields)
    if swallowed or not _is_even(quoted):
        literal = _parsed(content, where, "\t", csv.QUOTE_NONE)
        return literal if _is_even(literal) else quoted
    return quoted


def check_width(line: Line, width: int, where: str) -> None:
    """Raises DataError for a row that has not as many fields as expected."""
    if len(line.fields) != width:
        raise DataError(
            f"Row {line.number} of {where} has {len(line.fields)} fields where {width} were expected: mend "
            "the row (a delimiter or line break inside a text needs quotation marks around the text)."
        )


def read_delimited(path: Path, text_column: str | None, label_column: str | None) -> Table:
    """A CSV or TSV file with a header. A spreadsheet's first line ``sep=;`` is no row.

    Raises:
        DataError: a column is missing, a row is malformed, or the file cannot be read.
    """
    content = read_text_file(path)
    where = str(path)
    said = re.match(r'"?sep=(.)"?(?:\r\n|\r|\n)', content, re.IGNORECASE)
    if said is not None:
        content, delimiter = content[said.end() :], said.group(1)
    else:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(content, text_column, label_column)
    lines: Iterator[Line] = (
        iter(split_tsv(content, where)) if delimiter == "\t" else _parse(content, where, delimiter, csv.QUOTE_MINIMAL)
    )
    records = []
    labels: dict[str, str] = {}  # a file has many rows and few labels: each is kept once
    with _long_fields():
        first = next(lines, None)
        if first is None:
            raise DataError(f"The file {where} should start with a header, but is empty: put rows in it.")
        header = [name.strip() for name in first.fields]
        text_at, label_at = find_columns(header, text_column, label_column, where)
        for line in lines:
            check_width(line, len(header), where)
            label = line.fields[label_at]
            records.append(Record(line.number, line.fields[text_at], labels.setdefault(label, label)))
    return Table(where, records)


def find_columns(
    columns: Sequence[str], text_column: str | None, label_column: str | None, where: str
) -> tuple[int, int]:
    """Positions of the text and the label column.

    Raises:
        DataError: one is missing (lists the columns found), or stands there twice.
    """
    return (
        _find_column(columns, text_column, TEXT_COLUMNS, "text_column", where),
        _find_column(columns, label_column, LABEL_COLUMNS, "label_column", where),
    )


def cell_text(value: object, number: int, where: str) -> str:
    """A cell as text: None and NaN become "", numbers their digits, lone surrogates U+FFFD.

    Raises:
        DataError: the cell is a list, an object or raw bytes.
    """
    if isinstance(value, list | tuple | dict | bytes):
        raise DataError(
            f"Row {number} of {where} should hold a text, but holds a {type(value).__name__}: name another "
            "column with text_column."
        )
    text = as_text(value)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_PHYSICAL = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_field_limit_lock = threading.RLock()  # a TSV is read within the reading of its file


@contextmanager
def _long_fields() -> Iterator[None]:
    # The csv module refuses cells over 128 KiB, by a limit that is global to the process.
    with _field_limit_lock:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _parsed(content: str, where: str, delimiter: str, quoting: Literal[0, 3]) -> list[Line]:
    with _long_fields():
        return list(_parse(content, where, delimiter, quoting))


def _parse(content: str, where: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Line]:
    number = 0
    # A StringIO would hold four bytes for each character.
    physical = (match.group() for match in _PHYSICAL.finditer(content))
    reader = csv.reader(physical, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        for number, fields in enumerate(reader, start=1):
            if fields:
                yield Line(number, fields)
    except csv.Error as error:
        raise DataError(
            f"Row {number + 1} of {where} is not well-formed ({error}): close its quotation marks, and "
            "double those inside a cell."
        ) from error


def _is_even(lines: Sequence[Line]) -> bool:
    return len({len(line.fields) for line in lines}) <= 1


def _delimiter(content: str, text_column: str | None, label_column: str | None) -> str:
    header = re.split(r"[\r\n]", content, maxsplit=1)[0]
    for delimiter in (",", ";", "\t", "|"):
        columns = [name.strip().strip('"').strip() for name in header.split(delimiter)]
        try:
            find_columns(columns, text_column, label_column, "")
        except DataError:
            continue
        return delimiter
    return ","


def _find_column(
    columns: Sequence[str], wanted: str | None, usual: Sequence[str], key: str, where: str
) -> int:
    candidates = [wanted] if wanted is not None else [name for name in usual if name in columns][:1]
    for name in candidates:
        if columns.count(name) > 1:
            raise DataError(
                f"The column '{name}' stands {columns.count(name)} times in {where}: rename one of them."
            )
        if name in columns:
            return list(columns).index(name)
    expected = f"a column '{wanted}'" if wanted is not None else f"one of the columns {', '.join(usual)}"
    found = ", ".join(f"'{name}'" for name in columns) or "none"
    raise DataError(
        f"{where} should have {expected}, but has {found}: name the right one with the key {key}."
    )
