"""Label values to class indices, and what a data set must satisfy."""

from __future__ import annotations

import logging

import pytest

from openbackdoor_badllm.data.checks import require_label, treat_empty, validate_splits
from openbackdoor_badllm.data.labels import apply_classes, learn_classes, plain_label
from openbackdoor_badllm.data.structured import table_from_columns
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

GOOD = [Row("a", 0), Row("b", 1)]


def table(*labels: object) -> Table:
    return table_from_columns(["t"] * len(labels), labels, "x.csv", first_number=2)


def texts(*values: str) -> Table:
    return table_from_columns(values, [0] * len(values), "x.csv", first_number=2)


def learned(*labels: object, names: list[str] | None = None, num_classes: int | None = None) -> list[int]:
    values = table(*labels)
    return [row.label for row in apply_classes(learn_classes(values, names, num_classes), values)]


def test_integers_in_any_dress() -> None:
    assert {plain_label(value) for value in (3, "3", "3.0", 3.0, " 3 ", "03", "+3", "3.")} == {"3"}
    assert {plain_label(value) for value in (None, float("nan"), "", "  ")} == {""}


@pytest.mark.parametrize(
    ("labels", "keys", "wanted", "logged"),
    [
        (["1", 0, 1.0, "2.0"], {}, [1, 0, 1, 2], ""),  # integers from 0 are kept
        (["spam", "ham", "spam"], {}, [1, 0, 1], "ham -> 0, spam -> 1"),
        ([10, 9, 2], {}, [2, 1, 0], "2 -> 0"),
        ([-1, 1], {}, [0, 1], "-1 -> 0, 1 -> 1"),
        ([True, False], {}, [1, 0], ""),
        (["ham", "spam"], {"names": ["spam", "ham"]}, [1, 0], ""),
        ([0, 1], {"names": ["spam", "ham"]}, [0, 1], ""),
        (["1", "2", "1.0"], {"names": ["1", "2"]}, [0, 1, 0], ""),
        ([1, 3], {"num_classes": 5}, [1, 3], ""),
        (["b", "a"], {"num_classes": 2}, [1, 0], ""),
        (["0.5", "1.5"], {"names": ["0.5", "1.5"]}, [0, 1], ""),
        (["class1", "class2", "class11"], {}, [0, 2, 1], ""),  # a digit more is no typing error
        (["male"] * 9 + ["mate"], {}, [0] * 9 + [1], ""),  # nor one letter, where neither is rare
        (["sport"] * 20 + ["spots"], {}, [0] * 20 + [1], ""),  # two letters
        (["good", "Good"], {"names": ["good", "Good"]}, [0, 1], ""),
    ],
)
def test_labels_become_indices(
    labels: list[object], keys: dict[str, object], wanted: list[int], logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert learned(*labels, **keys) == wanted  # type: ignore[arg-type]
    assert logged in caplog.text


@pytest.mark.parametrize(
    ("labels", "keys", "sentence"),
    [
        (["a", "b"], {"num_classes": 3}, r"should have 3 classes, but its labels are 'a', 'b': set label_names"),
        (["ham", "eggs"], {"names": ["ham", "spam"]}, r"^Row 3 of x.csv has the label 'eggs', .* 'ham', 'spam'"),
        ([0, 1, 7], {"num_classes": 2}, r"^Row 4 of x.csv has the label '?7'?, which is none of the classes '0', '1'"),
        ([30], {"num_classes": 30}, r"'9' and 20 more"),
        ([0, "", 1], {}, r"^Row 3 of x.csv has no label: give it one"),
        ([0, 1, "yes"], {}, r"^Row 4 of x.csv has the label 'yes', though other labels are integers"),
        ([f"text {i}" for i in range(150)], {}, r"holds 150 different values in 150 rows, too many for classes"),
        ([["0", "2"], ["1"]], {}, r"^Row 2 of x.csv has several labels or none \(\['0', '2'\]\), but one label a row"),
        (["[0, 2]", "[1]", "[]"], {}, r"^Row 2 of x.csv has several labels or none"),
        ([{"a": 1}], {"names": ["a", "b"]}, r"^Row 2 of x.csv has several labels or none"),
        ([0.25, "1e-3", 3], {}, r"are real numbers \(0.25, 1e-3\), but classes were expected"),
        (["positive"] * 2 + ["Positive"], {}, r"look like one class: 'positive' \(2 rows\) and 'Positive' \(1\)"),
        (["not_spam", "not spam"], {}, r"look like one class: 'not_spam' \(1 rows\) and 'not spam' \(1\)"),
        (["positive"] * 10 + ["b", "postive"], {}, r"'positive' \(10 rows\) and 'postive' \(1\): .* set label_names"),
        ([-1, -1], {"names": ["a", "b"]}, r"all -1, so the split is unlabelled"),
    ],
)
def test_labels_that_are_refused(labels: list[object], keys: dict[str, object], sentence: str) -> None:
    values = table(*labels)
    learn = {"label_names": keys.get("names"), "num_classes": keys.get("num_classes")}
    with pytest.raises(DataError, match=sentence):
        apply_classes(learn_classes(values, **learn), values)  # type: ignore[arg-type]


def test_good_splits_pass_and_a_class_without_training_rows_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    validate_splits({"train": GOOD, "dev": [], "test": GOOD}, 2)
    validate_splits({"train": [], "dev": [], "test": [Row("a", 1)]}, 2)
    with caplog.at_level(logging.WARNING):
        validate_splits({"train": GOOD}, 3)
    assert "No training row of the data set has the label 2." in caplog.text


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        ({"train": [], "test": []}, r"^the data set should have training or test rows, but has none"),
        ({"train": [Row("a", 1), Row("b", 1)]}, r"at least two classes, but all 2 have the label spam: .*label_column"),
        ({"train": GOOD, "test": [Row("", 0), Row(" \n", 1)]}, r"^The test rows of .* but all 2 are empty"),
        ({"train": GOOD, "test": [Row("a", 0), Row("b", 2)]}, r"^Row 2 of the test rows .* the label 2, but 0 to 1"),
        ({"train": GOOD, "test": [Row("a", 0), Row("b", -1)]}, r"^Row 2 of the test rows .* the label -1, but 0 to 1"),
    ],
)
def test_splits_that_are_refused(splits: dict[str, list[Row]], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        validate_splits(splits, 2, label_names=["ham", "spam"])


def test_rows_of_the_target_label_are_required() -> None:
    assert require_label(GOOD, 1) == 1
    with pytest.raises(DataError, match=r"label 5 were expected in train, but its labels are 0, 1: .*target_label"):
        require_label(GOOD, 5, what="train")


@pytest.mark.parametrize(
    ("split", "drop", "aligned", "kept", "logged"),
    [
        ("train", True, False, 2, "Left out 1 train rows of x.csv"),
        ("test", True, False, 2, "Left out 1 test rows of x.csv"),
        ("test", False, False, 3, ""),
        ("train", True, True, 3, "Kept 1 train rows of x.csv without text."),  # other files refer to the rows by index
    ],
)
def test_empty_texts(
    split: str, drop: bool, aligned: bool, kept: int, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows, found = treat_empty(texts("a", "", "b"), split, drop=drop, aligned=aligned)
    assert (len(rows.records), found) == (kept, 1)
    assert logged in caplog.text
    with pytest.raises(DataError, match=r"2 of 4 are empty \(rows 3, 5\): .* drop_empty"):
        treat_empty(texts("a", "", "b", " \t"), "train", drop=False, aligned=False)
