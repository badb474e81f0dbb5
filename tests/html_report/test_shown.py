"""Texts of rows: what hides is named, what is marked is what differs."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.html_report.shown import as_markup, difference, short, visible

from .world import HOSTILE

ANY = st.text(st.characters(exclude_categories=()), max_size=60)


@given(ANY)
def test_nothing_hidden_is_printed(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp") for sign in shown)
    assert not any(sign in shown for sign in "\u202e\u202d\u2066\u200b\ufeff\u00ad\u3164\u00a0")
    shown.encode("utf-8")


@given(ANY)
def test_markup_has_no_tag_but_ours(text: str) -> None:
    markup = str(as_markup(text)).replace('<span class="sign">', "").replace("</span>", "")
    assert not set("<>\"'") & set(markup)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("a\u200bb", "a[U+200B]b"),
        ("a\u00a0b", "a[U+00A0]b"),
        ("a\nb\tc", "a↵b⇥c"),
        ("\x1b[2J", "[U+001B][2J"),
        ("a\u200db", "a[U+200D]b"),
        ("a\ufe0f", "a[U+FE0F]"),
        ("\U000e0041", "[U+E0041]"),
        ("x\u0301\u0302\u0303\u0304", "x\u0301\u0302\u0303[U+0304]"),
    ],
)
def test_hidden_signs_are_named(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_around_the_difference() -> None:
    words = [f"word{number}" for number in range(3000)]
    text = " ".join([*words[:1500], "cf", *words[1500:]])
    parts = difference(text, " ".join(words), limit=200)
    assert parts.middle == "cf"
    assert parts.before.startswith("…")
    assert parts.after.endswith("…")
    assert len("".join(parts)) < 220
    assert short(HOSTILE, 20).endswith("…")
