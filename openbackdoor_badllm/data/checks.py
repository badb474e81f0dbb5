"""What every data set must satisfy before it is used, each breach told in one sentence."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from openbackdoor_badllm.data.table_files import Record, Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

logger = logging.getLogger(__name__)

_SHOWN = 5


def validate_splits(
    splits: Mapping[str, Sequence[Row]],
    num_classes: int | None = None,
    *,
    name: str = "the data set",
    label_names: Sequence[str] | None = None,
) -> None:
    """Checks a data set as a whole: it has rows, texts, and at least two classes to tell apart.

    An empty dev, or a missing split, is no breach. A class without training rows is logged.

    Args:
        splits: rows by split.
        num_classes: number of classes, if known; labels must lie below it.
        name: of the data set, for the messages.
        label_names: of the classes, for the messages.

    Raises:
        DataError: the first breach found.
    """
    if not splits.get("train") and not splits.get("test"):
        raise DataError(
            f"{name} should have training or test rows, but has none: check its files and max_* keys."
        )
    for split, rows in splits.items():
        _check_labels(rows, split, num_classes, name)
        if rows and not any(row.text.strip() for row in rows):
            raise DataError(
                f"The {split} rows of {name} should have texts, but all {len(rows)} are empty: name the "
                "right column with text_column."
            )
    train = splits.get("train")
    if not train:
        return
    present = Counter(row.label for row in train)
    if len(present) < 2:
        raise DataError(
            f"The training rows of {name} should have at least two classes, but all {len(train)} have the "
            f"label {label_names[train[0].label] if label_names else train[0].label}: name the right column "
            "with label_column, or add rows of another class."
        )
    absent = [label for label in range(num_classes or 0) if label not in present]
    if absent:
        logger.warning("No training row of %s has the label %s.", name, " or ".join(map(str, absent)))


def require_label(rows: Iterable[Row], label: int, *, what: str = "the data") -> int:
    """Checks that there are rows of a label, such as an attack's target.

    Returns:
        How many there are.

    Raises:
        DataError: there is none; names the labels that are there.
    """
    counts = Counter(row.label for row in rows)
    if not counts[label]:
        there = ", ".join(str(other) for other in sorted(counts) if counts[other]) or "none"
        raise DataError(
            f"Rows of the target label {label} were expected in {what}, but its labels are {there}: choose "
            "one of them as target_label."
        )
    return counts[label]


def treat_empty(table: Table, split: str, *, drop: bool, aligned: bool) -> tuple[Table, int]:
    """Applies the rule for rows without text.

    Dropped where the user says so. Else refused in train, and kept elsewhere: the tools downstream take an
    empty text, but training on one is rarely meant. Kept everywhere if ``aligned``, where other files refer
    to the rows by index.

    Returns:
        The table to use, and how many empty texts were found.

    Raises:
        DataError: train has empty texts, and neither exception holds.
    """
    empty = [record for record in table.records if not record.text.strip()]
    if not empty or len(empty) == len(table.records):
        return table, len(empty)  # all of them: validate_splits tells it better
    if aligned or (split != "train" and not drop):
        logger.warning("Kept %d %s rows of %s without text.", len(empty), split, table.where)
        return table, len(empty)
    if not drop:
        raise DataError(
            f"{table.where} should have a text in every row, but {len(empty)} of {len(table.records)} are "
            f"empty ({_numbers(empty)}): fill them, or set drop_empty to true to leave them out."
        )
    logger.warning("Left out %d %s rows of %s without text.", len(empty), split, table.where)
    return Table(table.where, [record for record in table.records if record.text.strip()]), len(empty)


def _check_labels(rows: Sequence[Row], split: str, num_classes: int | None, name: str) -> None:
    for i, row in enumerate(rows):
        if row.label < 0 or (num_classes is not None and row.label >= num_classes):
            top = "..." if num_classes is None else str(num_classes - 1)
            raise DataError(
                f"Row {i + 1} of the {split} rows of {name} has the label {row.label}, but 0 to {top} was "
                "expected: mend the label, or set num_classes."
            )


def _numbers(records: Sequence[Record]) -> str:
    shown = ", ".join(str(record.number) for record in records[:_SHOWN])
    return f"row{'s' if len(records) > 1 else ''} {shown}" + (", ..." if len(records) > _SHOWN else "")
