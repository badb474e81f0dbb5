"""What a data set must satisfy, and the sentence for each breach."""

from __future__ import annotations

import logging

import pytest

from openbackdoor_badllm.data.checks import require_label, treat_empty, validate_splits
from openbackdoor_badllm.data.structured import table_from_columns
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

GOOD = [Row("a", 0), Row("b", 1)]


def texts(*values: str) -> Table:
    return table_from_columns(values, [0] * len(values), "x.csv", first_number=2)


def test_good_data_passes() -> None:
    validate_splits({"train": GOOD, "dev": [], "test": GOOD}, 2)
    validate_splits({"train": [], "dev": [], "test": [Row("a", 1)]}, 2)


def test_no_rows() -> None:
    with pytest.raises(DataError, match=r"^the data set should have training or test rows, but has none"):
        validate_splits({"train": [], "test": []})


def test_one_class() -> None:
    with pytest.raises(DataError, match=r"at least two classes, but all 2 have the label 1: .* label_column"):
        validate_splits({"train": [Row("a", 1), Row("b", 1)]})
    with pytest.raises(DataError, match=r"have the label spam:"):
        validate_splits({"train": [Row("a", 1)]}, label_names=["ham", "spam"])


def test_all_texts_empty() -> None:
    with pytest.raises(DataError, match=r"^The test rows of mine should have texts, but all 2 are empty"):
        validate_splits({"train": GOOD, "test": [Row("", 0), Row(" \n", 1)]}, name="mine")


@pytest.mark.parametrize("label", [2, -1])
def test_label_outside_the_classes(label: int) -> None:
    sentence = f"^Row 2 of the test rows of the data set has the label {label}, but 0 to 1 was expected"
    with pytest.raises(DataError, match=sentence):
        validate_splits({"train": GOOD, "test": [Row("a", 0), Row("b", label)]}, 2)


def test_class_without_training_rows_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        validate_splits({"train": GOOD}, 3)
    assert "No training row of the data set has the label 2." in caplog.text


def test_require_label() -> None:
    assert require_label(GOOD, 1) == 1
    with pytest.raises(
        DataError, match=r"target label 5 were expected in train, but its labels are 0, 1: .*target_label"
    ):
        require_label(GOOD, 5, what="train")
    with pytest.raises(DataError, match=r"its labels are none"):
        require_label([], 0)


def test_empty_training_texts_are_refused_with_their_rows() -> None:
    with pytest.raises(DataError, match=r"2 of 4 are empty \(rows 3, 5\): .* drop_empty"):
        treat_empty(texts("a", "", "b", " \t"), "train", drop=False, aligned=False)
    with pytest.raises(DataError, match=r"\(row 2\)"):
        treat_empty(texts("", "b"), "train", drop=False, aligned=False)
    with pytest.raises(DataError, match=r"\(rows 3, 4, 5, 6, 7, \.\.\.\)"):
        treat_empty(texts("a", *[""] * 6), "train", drop=False, aligned=False)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_empty_texts_are_dropped_on_request(split: str, caplog: pytest.LogCaptureFixture) -> None:
    table, found = treat_empty(texts("a", "", "b"), split, drop=True, aligned=False)
    assert ([record.text for record in table.records], found) == (["a", "b"], 1)
    assert f"Left out 1 {split} rows of x.csv" in caplog.text


def test_empty_test_texts_are_kept() -> None:
    table, found = treat_empty(texts("a", ""), "test", drop=False, aligned=False)
    assert (len(table.records), found) == (2, 1)


def test_empty_texts_of_an_aligned_file_are_always_kept(caplog: pytest.LogCaptureFixture) -> None:
    table, found = treat_empty(texts("a", ""), "train", drop=True, aligned=True)
    assert (len(table.records), found) == (2, 1)
    assert "Kept 1 train rows of x.csv without text." in caplog.text
