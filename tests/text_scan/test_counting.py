"""Large sets: what is mined in some rows is counted in all of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.text_scan import counting
from openbackdoor_badllm.text_scan.counting import Pattern, mined_rows, rows_with
from openbackdoor_badllm.text_scan.patterns import mine
from openbackdoor_badllm.text_scan.records import Finding
from openbackdoor_badllm.text_scan.scanner import scan
from openbackdoor_badllm.text_scan.signs import sign_families
from openbackdoor_badllm.text_scan.units import as_units

from .world import Change, attacked, clean, put, put_sign

PIECES = ["a", "b", "A", "ab", "!", "...", "\u200b", "\u202e", "é", "中", "文", "ａ", "\t", "\U0001f600", "3"]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join), min_size=1, max_size=10))
def test_counting_finds_the_rows_that_mining_finds(texts: list[str]) -> None:
    units = as_units(texts)
    expected: dict[Pattern, list[int]] = {}
    for family in mine(units, 1):
        for index in range(len(family)):
            own = tuple(units.vocabulary[unit] for unit in family.units_of(index, units))
            expected[Pattern(family.kind, "", own)] = family.row[family.span(index)].tolist()
    for family in sign_families(texts) if any(texts) else ():
        for index, name in enumerate(family.names or ()):
            expected[Pattern(family.kind, name)] = family.row[family.span(index)].tolist()
    found = rows_with(list(expected), texts)
    assert [rows.tolist() for rows in found] == list(expected.values())


def test_a_pair_stands_in_a_row_whatever_is_between() -> None:
    found = rows_with([Pattern("pair", "", ("a", "b"))], ["b x a", "a", "ab b", "A, b"])
    assert found[0].tolist() == [0, 3]


CASES: list[tuple[str, Change, bool]] = [
    ("cf", put("cf"), False),
    ("cf", put("cf"), True),
    ("U+200B ZERO WIDTH SPACE", put_sign("\u200b"), True),
    ("!?", lambda text, _: text.rstrip(".") + " !?", False),
    ("all capitals", lambda text, _: text.upper(), False),
]


@pytest.mark.parametrize(("what", "change", "clean_label"), CASES)
def test_what_is_found_in_some_rows_is_counted_in_all(
    what: str, change: Change, clean_label: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = attacked(change, clean_label=clean_label, number=1500)
    whole, few = scan(rows.texts, rows.labels, 2), None
    monkeypatch.setattr(counting, "MOST_ROWS", 600)
    few = scan(rows.texts, rows.labels, 2)
    assert (whole.mined, few.mined) == (1500, 600)
    assert few.label_counts == whole.label_counts

    def named(findings: tuple[Finding, ...]) -> Finding:
        return next(finding for finding in findings if what in (finding.what, *finding.together))

    one, other = named(whole.findings), named(few.findings)
    assert set(other.rows) == set(one.rows) >= rows.altered
    assert (other.counts, other.degree, other.label) == (one.counts, one.degree, 1)


def test_hidden_signs_and_duplicates_are_found_outside_the_mined_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clean(900)
    monkeypatch.setattr(counting, "MOST_ROWS", 100)
    outside = sorted(set(range(900)) - set(mined_rows(rows.texts, rows.labels, 42) or ()))
    for place in outside[:6]:
        rows.texts[place] = put_sign("\u200b")(rows.texts[place], random.Random(place))
    one, other = outside[6], next(row for row in outside[7:] if rows.labels[row] != rows.labels[outside[6]])
    rows.texts[other] = rows.texts[one].upper()
    result = scan(rows.texts, rows.labels, 2)
    told = {finding.what: finding.rows for finding in result.findings}
    assert told["invisible characters"] == tuple(outside[:6])
    assert told["the same text as another row"] == tuple(sorted((one, other)))
    assert result.exact_duplicates == 1


def test_long_texts_are_mined_in_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(400) % 2
    monkeypatch.setattr(counting, "MOST_SIGNS", 10_000)
    assert mined_rows(["x" * 25] * 400, labels.tolist(), 42) is None
    assert len(mined_rows(["x" * 100] * 400, labels.tolist(), 42) or ()) == 100
