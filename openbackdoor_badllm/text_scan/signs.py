"""Characters and shapes of texts that may be a trigger: invisible signs, look-alike letters, casing, repetition.

Categories and names come from the standard library's ``unicodedata``. A table of confusable letters is not needed: a
word that mixes alphabets is told by the names of its letters, and any character at all is held against the labels.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from openbackdoor_badllm.text_scan.patterns import Family

INVISIBLE = "invisible characters"
BIDIRECTIONAL = "bidirectional controls"
CONTROL = "control or private characters"
LOOK_ALIKE = "words that mix alphabets (look-alike letters)"
STYLED = "full-width or styled letters"
HIDDEN = (INVISIBLE, BIDIRECTIONAL, CONTROL, LOOK_ALIKE)
"""Groups that no ordinary text has."""

_ALPHABETS = frozenset(("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "GEORGIAN", "LISU"))
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Letters and marks without ink.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")
_WORD = re.compile(r"\w+")
_REPEATED_LETTER = re.compile(r"([^\W\d_])\1{2}")
_REPEATED_SIGN = re.compile(r"([^\w\s])\1{2}")
_SHAPES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("white space", "double blanks", re.compile(r"\S {2,}\S")),
    ("white space", "tabs", re.compile(r"\t")),
    ("white space", "line breaks", re.compile(r"[\n\r]")),
    ("white space", "a blank at the beginning", re.compile(r"\A\s")),
    ("white space", "a blank at the end", re.compile(r"\s\Z")),
    ("repetition", "letters three times in a row", _REPEATED_LETTER),
    ("repetition", "punctuation marks three times in a row", _REPEATED_SIGN),
)


def hidden_group(text: str, place: int) -> str | None:
    """The group of hidden signs that a character belongs to at its place; None for ordinary ones.

    Joiners and variation selectors belong to an emoji or to a script that is written with them; elsewhere they hide.
    """
    sign = text[place]
    if sign in _JOINERS:
        return None if _joins(text, place) else INVISIBLE
    return _group(sign)


@lru_cache(maxsize=65536)
def _group(sign: str) -> str | None:
    if sign in _BIDIRECTIONAL:
        return BIDIRECTIONAL
    if sign in _BLANK or "\ufe00" <= sign <= "\ufe0f" or "\U000e0000" <= sign <= "\U000e01ef":
        return INVISIBLE
    category = unicodedata.category(sign)
    if category == "Cf":
        return INVISIBLE
    return CONTROL if category in ("Cc", "Cs", "Co", "Cn") and sign not in "\t\n\r" else None


@lru_cache(maxsize=65536)
def _ordinary_group(sign: str) -> str | None:
    """Groups of characters that can be seen, but are rarer than letters."""
    category = unicodedata.category(sign)
    if category in ("Zs", "Zl", "Zp"):
        return "odd white space"
    if category in ("Mn", "Me"):
        return "combining marks"
    if category == "So":
        return "emoji and pictographs"
    plain = unicodedata.normalize("NFKC", sign)
    return STYLED if len(plain) == 1 and plain.isascii() and plain.isalnum() and plain != sign else None


def mixes_alphabets(word: str) -> bool:
    """Whether a word has letters of two alphabets, as one with a Cyrillic letter in the place of a Latin one."""
    return len({_alphabet(sign) for sign in word} & _ALPHABETS) > 1


@lru_cache(maxsize=65536)
def _alphabet(sign: str) -> str:
    # A styled letter ("MATHEMATICAL BOLD") counts as what it stands for.
    return unicodedata.name(unicodedata.normalize("NFKC", sign)[:1], "").split(" ")[0] if sign.isalpha() else ""


def sign_families(texts: Sequence[str]) -> list[Family]:
    """Characters, groups of them, casing, white space and repetition: which row has which."""
    held: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        for key in {*signs(text), *shapes(text)}:
            held[key].append(row)
    kinds = sorted({kind for kind, _ in held})
    return [_as_family(kind, {name: rows for (other, name), rows in held.items() if other == kind}) for kind in kinds]


def signs(text: str) -> Iterable[tuple[str, str]]:
    """Kind and name of what the characters of a text are."""
    ordinary = {sign for sign in set(text) if not (sign.isalnum() and sign.isascii()) and sign != " "}
    for sign in ordinary:
        if sign.isascii() and sign.isprintable():
            yield "character", sign
    if not any(not sign.isascii() or not sign.isprintable() for sign in ordinary):
        return
    for place, sign in enumerate(text):
        if sign.isascii() and (sign.isprintable() or sign in "\t\n\r"):
            continue
        group = hidden_group(text, place) or (None if sign in _JOINERS else _ordinary_group(sign))
        if group is not None:
            yield ("white space" if group == "odd white space" else "character"), group
        if sign not in _JOINERS or group is not None:
            yield "character", sign
    if any(mixes_alphabets(word) for word in _WORD.findall(text) if not word.isascii()):
        yield "character", LOOK_ALIKE


def shapes(text: str) -> Iterable[tuple[str, str]]:
    """Kind and name of what a text looks like as a whole."""
    for kind, name, shape in _SHAPES:
        if shape.search(text):
            yield kind, name
    letters = [word for word in _WORD.findall(text) if word[0].isalpha()]
    if text.isupper():
        yield "casing", "all capitals"
    elif text.islower():
        yield "casing", "all lower case"
    elif len(letters) >= 3 and all(word[0].isupper() for word in letters):
        yield "casing", "every word with a capital"
    elif any(len(word) >= 3 and word.isupper() for word in letters):
        yield "casing", "words in capitals"
    if letters and letters[0][0].islower() and not text.islower():
        yield "casing", "a small letter at the beginning"


def _as_family(kind: str, held: dict[str, list[int]]) -> Family:
    rows = [np.array(rows, dtype=np.int64) for rows in held.values()]
    pattern = np.repeat(np.arange(len(rows), dtype=np.int64), [len(item) for item in rows])
    return Family(kind, pattern, np.concatenate(rows), tuple(held))


def is_hidden(sign: str) -> bool:
    """Whether a character is invisible or acts, wherever it stands."""
    return sign in _JOINERS or _group(sign) is not None


def tokenizer_sees(name: str, texts: Sequence[str], tokens: Callable[[str], Sequence[object]]) -> bool | None:
    """Whether a tokenizer's answer to any of some texts changes when a character, or a group of them, is taken out.

    Args:
        name: a character, or the name of a group.
        texts: texts that hold it.
        tokens: the tokenizer.

    Returns:
        None for a group that cannot be taken out.
    """
    if name == LOOK_ALIKE:
        return None

    def gone(text: str, place: int) -> bool:
        if len(name) == 1:
            return text[place] == name
        return name in (hidden_group(text, place), _ordinary_group(text[place]))

    without = ("".join(sign for place, sign in enumerate(text) if not gone(text, place)) for text in texts)
    return any(list(tokens(text)) != list(tokens(other)) for text, other in zip(texts, without, strict=True))


def _joins(text: str, place: int) -> bool:
    """Whether a joiner stands where it has work to do: in an emoji, or between letters of a script that joins."""
    before = text[place - 1] if place else " "
    after = text[place + 1] if place + 1 < len(text) else " "
    if text[place] in "\ufe0e\ufe0f":
        return unicodedata.category(before) in ("So", "Sk", "Sm", "Po", "Nd") and before not in ".,;:!?"
    pictures = ("So", "Sk")
    if before == "\ufe0f" or (unicodedata.category(before) in pictures and unicodedata.category(after) in pictures):
        return True
    return not before.isascii() and unicodedata.category(before) in ("Lo", "Mn", "Mc") and _alphabet(before) != "LATIN"
