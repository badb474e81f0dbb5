"""Scripts without blanks between words, against Unicode's own line breaking classes."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest

from openbackdoor_badllm.unspaced import UNSPACED_LETTERS, UNSPACED_SIGNS


def test_letters_are_those_between_which_a_line_may_break_without_a_blank() -> None:
    regex = pytest.importorskip("regex")
    breaks = regex.compile(r"[\p{LB=SA}\p{LB=ID}\p{LB=CJ}]")
    letters, signs = re.compile(f"[{UNSPACED_LETTERS}]"), re.compile(f"[{UNSPACED_SIGNS}]")
    for sign in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(sign)[0] != "L":
            continue
        name = unicodedata.name(sign, "")
        expected = bool(breaks.match(sign)) and not ("HANGUL" in name or "FULLWIDTH" in name)
        # Marks stay with the letters before them; Tibetan and Khitan part syllables, not words.
        kept = "MARK" in name or "TONE" in name or name.startswith(("TIBETAN", "KHITAN", "YI SYLLABLE"))
        assert bool(letters.match(sign)) == expected or (kept and letters.match(sign)), (hex(ord(sign)), name)
        assert not (letters.match(sign) and signs.match(sign))


@pytest.mark.parametrize(("sign", "letter", "mark"), [
    ("中", True, False), ("の", True, False), ("ก", True, False), ("ང", True, False), ("ᨠ", True, False),
    ("。", False, True), ("！", False, True), ("ａ", False, True), ("한", False, False), ("ㄱ", False, False),
    ("a", False, False), ("\u3000", False, False), ("я", False, False), ("ह", False, False),
])  # fmt: skip
def test_examples(sign: str, letter: bool, mark: bool) -> None:
    assert bool(re.match(f"[{UNSPACED_LETTERS}]", sign)) is letter
    assert bool(re.match(f"[{UNSPACED_SIGNS}]", sign)) is mark
