"""The units of a text: words where blanks part them, characters where the script writes none (Chinese, Thai, ...).

An n-gram is mined, a trigger inserted, found and taken out in these units, so that no language needs a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from openbackdoor_badllm.unspaced import UNSPACED_LETTERS, UNSPACED_SIGNS

UNSPACED = UNSPACED_LETTERS + UNSPACED_SIGNS
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
_ONE = re.compile(f"[{UNSPACED}]")
_PIECE = re.compile(rf"(?:[{UNSPACED}][{_MARKS}]*|[^\s{UNSPACED}]+)\s*")

WORD_BEFORE, WORD_AFTER = rf"(?<![^\W{UNSPACED}])", rf"(?![^\W{UNSPACED}])"
"""Where a word may begin and end: no letter of a script with blanks stands on the other side."""


def units(text: str) -> list[str]:
    """The units of a text, without the white space between them."""
    return text.split() if text.isascii() else [piece.rstrip() for piece in pieces(text)]


def pieces(text: str) -> list[str]:
    """The units of a text; one of a script without blanks keeps the white space behind it, which means something."""
    if text.isascii() or not _ONE.search(text):
        return text.split()
    return _PIECE.findall(text)


def joined(parts: Sequence[str]) -> str:
    """The parts as one text, with a blank between two only where both scripts write one."""
    plain = " ".join(parts)
    if plain.isascii():
        return plain
    result = ""
    for part in parts:
        result += (" " if result and part and blank_between(result[-1], part[0]) else "") + part
    return result


def blank_between(before: str, after: str) -> bool:
    """Whether two neighbouring characters are parted by a blank."""
    return not (before.isspace() or after.isspace() or _ONE.match(before) or _ONE.match(after))


def unit_pattern(text: str) -> str:
    """A regular expression of the units of a text, whatever the white space between them; whole words only."""
    found = units(text)
    if not found:
        return ""
    body = re.escape(found[0])
    for before, after in pairwise(found):
        body += (r"\s+" if blank_between(before[-1], after[0]) else r"\s*") + re.escape(after)
    start = "" if _ONE.match(found[0][0]) else WORD_BEFORE
    return start + body + (rf"(?![{_MARKS}])" if _ONE.match(found[-1][-1]) else WORD_AFTER)
