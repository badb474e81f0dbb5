"""The containers that rows come in: out of them, and back into the same type."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from openbackdoor_badllm.auditing.inputs import as_given_rows

TEXTS, LABELS, NUMBERS = ["a cf", "b", "c", "d"], ["good", "bad", "good", "bad"], [1, 0, 1, 0]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": [7, 8, 9, 10], "text": TEXTS, "label": pd.Categorical(LABELS)}, index=list("wxyz"))


def dataset() -> datasets.Dataset:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"]),
         "id": datasets.Value("int64")}
    )  # fmt: skip
    return datasets.Dataset.from_dict({"text": TEXTS, "label": NUMBERS, "id": [7, 8, 9, 10]}, features=features)


CASES: dict[str, tuple[Any, Any]] = {
    "lists": (TEXTS, LABELS),
    "tuple and numpy": (tuple(TEXTS), np.array(NUMBERS, dtype=np.int8)),
    "numpy strings": (np.array(TEXTS), np.array(LABELS)),
    "numpy objects": (np.array(TEXTS, dtype=object), NUMBERS),
    "Series": (pd.Series(TEXTS, index=list("wxyz"), name="t"), pd.Series(NUMBERS, index=list("wxyz"), dtype="int16")),
    "DataFrame": (frame(), None),
    "Dataset": (dataset(), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows_come_back_in_the_type_in_which_they_came(name: str) -> None:
    texts, labels = CASES[name]
    rows = as_given_rows(texts, labels, None, None)
    assert rows.texts == TEXTS
    good, bad = rows.labels[0], rows.labels[1]
    back = rows.changed({0: ("a", bad), 2: None})
    if labels is not None:
        assert [type(part) for part in back] == [type(texts), type(labels)]
        assert list(back[0]) == ["a", "b", "d"]
        assert list(back[1]) == [bad, bad, bad]
        for part, came in zip(back, (texts, labels), strict=True):
            if isinstance(came, pd.Series):
                assert (list(part.index), part.dtype, part.name) == (["w", "x", "z"], came.dtype, came.name)
            if isinstance(came, np.ndarray):
                assert part.dtype.kind == came.dtype.kind
    else:
        assert type(back) is type(texts)
        assert list(back["text"]) == ["a", "b", "d"]
        assert list(back["label"]) == [bad, bad, bad]
        assert list(back["id"]) == [7, 8, 10]
    assert list(rows.changed({})[0] if labels is not None else rows.changed({})["text"]) == TEXTS
    assert good != bad


def test_what_came_is_left_as_it_is() -> None:
    came = frame()
    rows = as_given_rows(came, None, None, None)
    changed = rows.changed({1: ("x", "good"), 0: None})
    pd.testing.assert_frame_equal(came, frame())
    assert list(changed.index) == ["x", "y", "z"]
    assert changed["label"].dtype == came["label"].dtype


def test_a_dataset_tells_its_class_names() -> None:
    assert as_given_rows(dataset(), None, None, None).label_names == ("bad", "good")


def test_columns_can_be_named() -> None:
    renamed = frame().rename(columns={"text": "body", "label": "mood"})
    assert as_given_rows(renamed, None, "body", "mood").columns == ("body", "mood")


@pytest.mark.parametrize(
    ("value", "name"), [(1, "good"), (1.0, "good"), ("1", "good"), (np.int64(0), "bad"), (True, "True")]
)
def test_the_label_value_of_a_class_name(value: Any, name: str) -> None:
    rows = as_given_rows(["a"], [value], None, None)
    index = {"0": 0, "1": 1, "True": 2}
    assert rows.values_by_name(index, ["bad", "good", "True"]) == {name: value}
