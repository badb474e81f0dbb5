"""Rows: the ``(text, label, poison_label)`` triples that OpenBackdoor passes around.

The third field says whether a row is poisoned. It exists for evaluation alone: no defence may
read it. :func:`blind` returns what a defence may see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One labelled text. A plain tuple to OpenBackdoor, a named one to us.

    Attributes:
        text: the text; never NaN, never another type.
        label: class index, 0-based.
        poison_label: 1 where an attacker altered the row, else 0. For evaluation only.
    """

    text: str
    label: int
    poison_label: int = 0


class Example(NamedTuple):
    """What a defence may see of a row: no poison flag."""

    text: str
    label: int


def as_rows(triples: Iterable[Sequence[object]]) -> list[Row]:
    """Coerces OpenBackdoor's triples (or pairs) to :class:`Row`.

    OpenBackdoor reads its CSV files with pandas, which turns the texts "null", "NA" and "" into a
    float NaN; labels may arrive as floats. Both are mended here.

    Args:
        triples: ``(text, label[, poison_label])`` in any sequence type.
    """
    rows: list[Row] = []
    for triple in triples:
        text, label = triple[0], triple[1]
        flag = triple[2] if len(triple) > 2 else 0
        rows.append(Row(as_text(text), int(float(str(label))), int(float(str(flag)))))
    return rows


def as_text(value: object) -> str:
    """Any cell as text: None and NaN become the empty string, numbers their digits."""
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN is the one value that differs from itself
        return ""
    return str(value)


def blind(triples: Iterable[Sequence[object]]) -> list[Example]:
    """Rows without their poison flags: the only view of the data that a defence works on."""
    return [Example(as_text(triple[0]), int(float(str(triple[1])))) for triple in triples]


def fingerprint(rows: Iterable[Sequence[object]]) -> str:
    """SHA-256 over texts and labels, in order; poison flags do not count."""
    digest = hashlib.sha256()
    for row in rows:
        text = as_text(row[0]).encode("utf-8", "surrogatepass")
        digest.update(f"{len(text)}:{row[1]}:".encode())
        digest.update(text)
    return digest.hexdigest()
