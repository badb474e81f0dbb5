"""Label values of a file, mapped to class indices.

A value may be an integer in any dress (3, "3", "3.0", 3.0) or a class name. The mapping is fixed once, on the
training split, then applied to all; a value outside it is refused with its row.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row, as_text

logger = logging.getLogger(__name__)

_INTEGER = re.compile(r"([+-]?[0-9]{1,18})(\.0*)?")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_BLANKS = re.compile(r"[\s_-]+")
_MANY_CLASSES = 100
TYPO_SHARE = 0.1  # of the rows of the other class: a name that is as rare may be a typing error
SHORTEST_TYPO = 4  # letters: shorter names that differ by one are mostly meant
_SHOWN = 10


@dataclass(frozen=True)
class ClassMap:
    """Which label value is which class.

    Attributes:
        names: class names in the order of their indices; digits where the data has no names.
        index: class index of each label value, the value in its plain form (see :func:`plain_label`).
    """

    names: tuple[str, ...]
    index: dict[str, int]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    @classmethod
    def numbered(cls, num_classes: int, names: Sequence[str] | None = None, first: int = 0) -> ClassMap:
        """Classes that the file numbers from ``first`` on."""
        index = {str(first + i): i for i in range(num_classes)}
        return cls(tuple(names) if names is not None else tuple(str(i) for i in range(num_classes)), index)


    @classmethod
    def declared(cls, names: Sequence[str], label_names: Sequence[str] | None = None) -> ClassMap:
        """Classes that the data declares; a row has a name or its number.

        Args:
            names: as the data declares them.
            label_names: another order of these names, or other names for the same numbers.
        """
        order = tuple(label_names or names)
        place = {name: i for i, name in enumerate(order)}
        same = set(order) == set(names)
        return cls(order, {**place, **{str(i): place[name] if same else i for i, name in enumerate(names)}})


def plain_label(value: object) -> str:
    """A label value as text, integers in their shortest form; "" where it is missing."""
    text = as_text(value).strip()
    match = _INTEGER.fullmatch(text)
    return str(int(match.group(1))) if match else text


def learn_classes(
    table: Table, label_names: Sequence[str] | None = None, num_classes: int | None = None
) -> ClassMap:
    """The mapping that the values of a split suggest.

    Integers 0 .. k-1 are taken as they are, as are any within ``num_classes``. Other integers (1-based, or -1
    and 1) and class names are put in sorted order, and the order is logged.

    Args:
        table: the training split.
        label_names: class names in the order of their indices, if the user gave them.
        num_classes: number of classes, if the user gave it.

    Raises:
        DataError: a label is a list or a real number, one is no integer where the others are, two look like one class
            written twice, there are nearly as many values as texts, or other than ``num_classes``.
    """
    _refuse_lists(table)
    counts = Counter(plain_label(record.label) for record in table.records)
    values = counts.keys() - {""}
    integers = all(_INTEGER.fullmatch(value) for value in values)
    if label_names is not None:
        by_name = {plain_label(name): i for i, name in enumerate(label_names)}
        if integers and not values <= set(by_name):
            return ClassMap.numbered(len(label_names), label_names)
        return ClassMap(tuple(label_names), by_name)
    if integers and num_classes is not None:
        return ClassMap.numbered(num_classes)
    _refuse_real(values, table)
    _refuse_mixed(table)
    _refuse_twins(counts, table.where)
    ordered = sorted(values, key=int) if integers else sorted(values)
    if integers and ordered == [str(i) for i in range(len(ordered))]:
        return ClassMap.numbered(len(ordered))
    _refuse_many(ordered, table)
    if num_classes is not None and len(ordered) != num_classes:
        raise DataError(
            f"{table.where} should have {num_classes} classes, but its labels are {_listed(ordered)}: set "
            "label_names to all class names in order."
        )
    logger.warning(
        "Labels of %s are mapped in sorted order: %s (set label_names, or num_classes for 0-based integers, "
        "to fix another order).",
        table.where,
        ", ".join(f"{value} -> {i}" for i, value in enumerate(ordered)),
    )
    return ClassMap(tuple(ordered), {value: i for i, value in enumerate(ordered)})


def apply_classes(classes: ClassMap, table: Table) -> list[Row]:
    """The rows of a split, with class indices for labels.

    Raises:
        DataError: a label is missing or outside the classes; names the row and the value.
    """
    rows = []
    for record in table.records:
        value = plain_label(record.label)
        label = classes.index.get(value)
        if label is None:
            raise DataError(_outside(classes, table, record.number, record.label, value))
        rows.append(Row(record.text, label, record.flag))
    return rows


def _outside(classes: ClassMap, table: Table, number: int, raw: object, value: str) -> str:
    if not value:
        return f"Row {number} of {table.where} has no label: give it one, or remove the row."
    if value == "-1" and all(plain_label(record.label) == "-1" for record in table.records):
        return (
            f"The labels of {table.where} are all -1, so the split is unlabelled: name a labelled one (for a "
            "hub data set often test_file 'validation')."
        )
    if len(classes.index) == 1:  # learned from training rows of one class
        return (
            f"Row {number} of {table.where} has the label {raw!r}, but the training rows have the label "
            f"{next(iter(classes.index))!r} only: add training rows of another class."
        )
    return (
        f"Row {number} of {table.where} has the label {raw!r}, which is none of the classes "
        f"{_listed(list(classes.index))}: mend the row, or set label_names or num_classes."
    )


def _refuse_lists(table: Table) -> None:
    odd = next((record for record in table.records if isinstance(record.label, list | tuple | dict | bytes)), None)
    if odd is None and table.records and all(_LIST.fullmatch(plain_label(record.label)) for record in table.records):
        odd = next((record for record in table.records if "," in str(record.label)), None)
    if odd is not None:
        raise DataError(
            f"Row {odd.number} of {table.where} has several labels or none ({str(odd.label)[:60]}), but one label a "
            "row was expected: look at one label at a time, in a column that says whether the row has it."
        )


def _refuse_real(values: set[str], table: Table) -> None:
    if values and all(_REAL.fullmatch(value) for value in values):
        real = sorted(value for value in values if not _INTEGER.fullmatch(value))
        if real:
            raise DataError(
                f"The labels of {table.where} are real numbers ({', '.join(real[:3])}), but classes were expected: "
                "put them into classes first, or, where they are classes, set label_names to all of them in order."
            )


def _refuse_twins(counts: Counter[str], where: str) -> None:
    """Refuses class names that differ by case or blanks alone, or by one letter where one of them is rare."""
    names = [name for name, _ in counts.most_common() if name and not _INTEGER.fullmatch(name)]
    forms = [_BLANKS.sub(" ", name.casefold()) for name in names]
    for i, rare in enumerate(names):
        for j in range(i):
            typed_wrong = TYPO_SHARE * counts[names[j]] >= counts[rare] and _one_letter_apart(forms[i], forms[j])
            if forms[i] == forms[j] or typed_wrong:
                raise DataError(
                    f"Two labels of {where} look like one class: {names[j]!r} ({counts[names[j]]} rows) and "
                    f"{rare!r} ({counts[rare]}): mend the rows, or set label_names to all class names in order."
                )


def _one_letter_apart(first: str, second: str) -> bool:
    """Whether one letter more, less or other makes the one name the other; digits number classes."""
    shorter, longer = sorted((first, second), key=len)
    if len(shorter) < SHORTEST_TYPO or len(longer) - len(shorter) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    rest, others = shorter[same:], longer[same:]
    if rest[:1].isdigit() or others[:1].isdigit():
        return False
    return others[1:] == (rest if len(longer) > len(shorter) else rest[1:])


def _refuse_mixed(table: Table) -> None:
    labels = [(record, plain_label(record.label)) for record in table.records]
    odd = [record for record, label in labels if label and not _INTEGER.fullmatch(label)]
    if odd and any(_INTEGER.fullmatch(label) for _, label in labels):
        raise DataError(
            f"Row {odd[0].number} of {table.where} has the label {odd[0].label!r}, though other labels are "
            "integers: mend the row, or set label_names to all class names in order."
        )


def _refuse_many(values: Sequence[str], table: Table) -> None:
    if len(values) > _MANY_CLASSES and 2 * len(values) > len(table.records):
        raise DataError(
            f"The label column of {table.where} holds {len(values)} different values in {len(table.records)} "
            "rows, too many for classes: name the right column with label_column."
        )


def _listed(values: Iterable[str]) -> str:
    values = list(values)
    shown = ", ".join(repr(value) for value in values[:_SHOWN])
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "") if values else "none"
