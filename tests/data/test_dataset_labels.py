"""Label values to class indices."""

from __future__ import annotations

import logging

import pytest

from openbackdoor_badllm.data.labels import ClassMap, apply_classes, learn_classes, plain_label
from openbackdoor_badllm.data.structured import table_from_columns
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError


def table(*labels: object) -> Table:
    return table_from_columns(["t"] * len(labels), labels, "x.csv", first_number=2)


def learned(*labels: object, names: list[str] | None = None, num_classes: int | None = None) -> list[int]:
    values = table(*labels)
    return [row.label for row in apply_classes(learn_classes(values, names, num_classes), values)]


@pytest.mark.parametrize("value", [3, "3", "3.0", 3.0, " 3 ", "03", "+3", "3."])
def test_integers_in_any_dress(value: object) -> None:
    assert plain_label(value) == "3"


@pytest.mark.parametrize("value", [None, float("nan"), "", "  "])
def test_missing_labels_are_empty(value: object) -> None:
    assert plain_label(value) == ""


def test_zero_based_integers_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    assert learned("1", 0, 1.0, "2.0") == [1, 0, 1, 2]
    assert not caplog.records


def test_class_names_in_sorted_order_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert learned("spam", "ham", "spam") == [1, 0, 1]
    assert "ham -> 0, spam -> 1" in caplog.text


def test_other_integers_in_numeric_order_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    assert learned(10, 9, 2) == [2, 1, 0]
    assert learned(-1, 1) == [0, 1]
    assert "-1 -> 0, 1 -> 1" in caplog.text


def test_booleans_are_false_then_true() -> None:
    assert learned(True, False) == [1, 0]


def test_given_names_fix_the_order() -> None:
    assert learned("ham", "spam", names=["spam", "ham"]) == [1, 0]


def test_given_names_with_indices_in_the_file() -> None:
    classes = learn_classes(table(0, 1), ["spam", "ham"])
    assert classes == ClassMap(("spam", "ham"), {"0": 0, "1": 1})


def test_given_names_that_look_like_integers() -> None:
    assert learned("1", "2", "1.0", names=["1", "2"]) == [0, 1, 0]


def test_num_classes_takes_integers_as_they_are() -> None:
    assert learned(1, 3, num_classes=5) == [1, 3]


def test_num_classes_fits_class_names() -> None:
    assert learned("b", "a", num_classes=2) == [1, 0]
    with pytest.raises(
        DataError, match=r"should have 3 classes, but its labels are 'a', 'b': set label_names"
    ):
        learned("a", "b", num_classes=3)


def test_label_outside_names_row_and_value() -> None:
    with pytest.raises(
        DataError, match=r"^Row 4 of x.csv has the label 7, which is none of the classes '0', '1'"
    ):
        apply_classes(ClassMap.numbered(2), table(0, 1, 7))


def test_label_outside_given_names() -> None:
    with pytest.raises(DataError, match=r"^Row 3 of x.csv has the label 'eggs', .* 'ham', 'spam'"):
        learned("ham", "eggs", names=["ham", "spam"])


def test_many_classes_are_shortened_in_the_sentence() -> None:
    with pytest.raises(DataError, match=r"'9' and 20 more"):
        apply_classes(ClassMap.numbered(30), table(30))


def test_missing_label_names_the_row() -> None:
    with pytest.raises(DataError, match=r"^Row 3 of x.csv has no label: give it one"):
        learned(0, "", 1)


def test_one_odd_label_among_integers() -> None:
    with pytest.raises(
        DataError, match=r"^Row 4 of x.csv has the label 'yes', though other labels are integers"
    ):
        learned(0, 1, "yes")


def test_column_of_texts_is_no_label_column() -> None:
    with pytest.raises(DataError, match=r"holds 150 different values in 150 rows, too many for classes"):
        learned(*[f"text {i}" for i in range(150)])


def test_unlabelled_split() -> None:
    with pytest.raises(DataError, match=r"all -1, so the split is unlabelled"):
        apply_classes(ClassMap.numbered(2), table(-1, -1))
