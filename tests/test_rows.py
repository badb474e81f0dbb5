"""Rows: what OpenBackdoor passes around, and what a defence may see of it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.rows import Example, Row, as_rows, as_text, blind, fingerprint

TEXTS = st.text(max_size=20)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("null", "null"),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
        (np.float32("nan"), ""),
        (pd.NaT, ""),
        (Decimal("NaN"), ""),
        (3, "3"),
        (1.5, "1.5"),
        (np.int64(7), "7"),
        (True, "True"),
        (0, "0"),
    ],
)
def test_as_text(cell: object, text: str) -> None:
    assert as_text(cell) == text


def test_as_rows_mends_what_pandas_does() -> None:
    rows = as_rows([("a", 1.0, 0.0), ["b", "1", "1"], (float("nan"), np.int64(0), np.float64(1.0)), ("d", 2)])
    assert rows == [Row("a", 1, 0), Row("b", 1, 1), Row("", 0, 1), Row("d", 2, 0)]
    assert all(isinstance(row, Row) and type(row.label) is int and type(row.poison_label) is int for row in rows)
    assert rows[0] == ("a", 1, 0)  # a plain tuple to OpenBackdoor


@given(rows=st.lists(st.tuples(TEXTS, st.integers(0, 3), st.integers(0, 1))))
def test_blind_is_the_same_whatever_the_flags(rows: list[tuple[str, int, int]]) -> None:
    seen = blind(rows)
    assert seen == blind([(text, label, 1 - flag) for text, label, flag in rows])
    assert seen == [(text, label) for text, label, _ in rows]
    assert all(Example._fields == ("text", "label") and len(example) == 2 for example in seen)


@given(rows=st.lists(st.tuples(TEXTS, st.integers(0, 3), st.integers(0, 1)), min_size=2), data=st.data())
def test_fingerprint_notices_every_change_but_flags(rows: list[tuple[str, int, int]], data: st.DataObject) -> None:
    mark = fingerprint(rows)
    assert fingerprint([(text, label, 1 - flag) for text, label, flag in rows]) == mark
    assert fingerprint(as_rows(rows)) == fingerprint(blind(rows)) == mark
    k = data.draw(st.integers(0, len(rows) - 1))
    text, label, flag = rows[k]
    for changed in ((text + "x", label, flag), (text, label + 1, flag)):
        assert fingerprint([*rows[:k], changed, *rows[k + 1 :]]) != mark
    assert fingerprint(rows[1:]) != mark
    turned = rows[::-1]
    if [row[:2] for row in turned] != [row[:2] for row in rows]:
        assert fingerprint(turned) != mark


def test_fingerprint_is_not_fooled_by_text_that_looks_like_its_frame() -> None:
    assert fingerprint([("a", 1), ("b", 1)]) != fingerprint([("a1:1:b", 1)])
    assert fingerprint([("a", 1), ("b", 1)]) != fingerprint([("a1:b", 1)])
    assert fingerprint([("ab", 1), ("", 1)]) != fingerprint([("a", 1), ("b", 1)])
    assert len(fingerprint([("\ud800 lone surrogate", 0)])) == 64
    assert fingerprint([(float("nan"), 0)]) == fingerprint([("", 0)])
