"""Texts of rows and of language models, made fit to be shown: nothing hidden, nothing that acts.

What a reader cannot see (control characters, bidirectional overrides, zero-width signs, odd spaces) is how a trigger
hides, so it is named instead of being printed. Escaping for HTML comes after this, in :func:`as_markup`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

LIMIT = 400  # characters of a row or a trigger
MARKS = 3  # combining marks on one letter; more of them paint over other lines
_NAMES = {"\n": "↵", "\t": "⇥"}
# Without ink though Unicode calls them letters, marks or symbols.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SPACES = frozenset("\u1680\u2028\u2029\u202f\u205f\u3000\u00a0") | {chr(code) for code in range(0x2000, 0x200B)}
_JOINERS = frozenset("\u200d\ufe0f")  # inside an emoji they are part of it


class Piece(NamedTuple):
    """A stretch of text, or the name of one sign that cannot be seen."""

    text: str
    hidden: bool = False


def visible(text: str) -> str:
    """The text in one line of plain characters, hidden ones named as ``[U+202E]``; for pictures and attributes."""
    return "".join(f"[{piece.text}]" if len(piece.text) > 1 and piece.hidden else piece.text for piece in pieces(text))


def pieces(text: str, *, keep: str = "") -> Iterator[Piece]:
    """Splits a text at signs that cannot be seen.

    Args:
        text: any text, lone surrogates included.
        keep: signs that stay as they are, such as the line end in a block.
    """
    start, marks = 0, 0
    for place, sign in enumerate(text):
        marks = marks + 1 if unicodedata.combining(sign) else 0
        if sign in keep or not (marks > MARKS or _hidden(text, place)):
            continue
        if start < place:
            yield Piece(text[start:place])
        yield Piece(_NAMES.get(sign) or f"U+{ord(sign):04X}", hidden=True)
        start = place + 1
    if start < len(text):
        yield Piece(text[start:])


def as_markup(text: object, *, keep: str = "") -> Markup:
    """The text escaped for HTML, hidden signs as marked names."""
    return Markup("").join(
        Markup('<span class="sign">{}</span>').format(piece.text) if piece.hidden else escape(piece.text)
        for piece in pieces(str(text), keep=keep)
    )


def short(text: str, limit: int = LIMIT) -> str:
    """The beginning of a text, with a sign that there is more."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


class Difference(NamedTuple):
    """A text in three parts; ``middle`` is what another text has not."""

    before: str
    middle: str
    after: str


def difference(text: str, other: str, limit: int = LIMIT) -> Difference:
    """Where a text differs from another: the words between their common beginning and their common end.

    The parts are cut to ``limit`` characters in all, around the middle. A text that differs in more than half of its
    words (a rewritten one) comes back as a whole in ``before``, unmarked.
    """
    ours, theirs = re.findall(r"\s+|\S+", text), re.findall(r"\s+|\S+", other)
    most = min(len(ours), len(theirs))
    start = next((i for i in range(most) if ours[i] != theirs[i]), most)
    end = next((i for i in range(most - start) if ours[-1 - i] != theirs[-1 - i]), most - start)
    middle, instead = "".join(ours[start : len(ours) - end]), "".join(theirs[start : len(theirs) - end])
    if not middle.strip() or 2 * len(middle) > len(text) + 20:
        return Difference(short(text, limit), "", "")
    middle_start = len("".join(ours[:start]))
    lead, tail = text[:middle_start], text[middle_start + len(middle) :]
    if instead.strip():  # a word that lost its comma with the trigger is not marked
        same = _common(middle, instead)
        lead, middle, instead = lead + middle[:same], middle[same:], instead[same:]
        same = _common(middle[::-1], instead[::-1])
        middle, tail = middle[: len(middle) - same], middle[len(middle) - same :] + tail
    # White space around a word says nothing; of the trigger it is only the word that is marked.
    lead, middle, tail = (
        lead + middle[: len(middle) - len(middle.lstrip())],
        middle.strip(),
        middle[len(middle.rstrip()) :] + tail,
    )
    room = max(40, (limit - len(middle)) // 2)
    if len(lead) > room and len(text) > limit:
        lead = "…" + lead[-room:]
    return Difference(lead, short(middle, limit), short(tail, room) if len(text) > limit else tail)


def _common(one: str, other: str) -> int:
    """How many signs two texts begin with in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _hidden(text: str, place: int) -> bool:
    sign = text[place]
    if sign.isascii():
        return not sign.isprintable()
    if sign in _JOINERS:
        return not (_pictures(text, place - 1) and (sign == "\ufe0f" or _pictures(text, place + 1)))
    if sign in _BLANK or sign in _SPACES or "\ufe00" <= sign <= "\ufe0e" or "\U000e0100" <= sign <= "\U000e01ef":
        return True
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _pictures(text: str, place: int) -> bool:
    return 0 <= place < len(text) and (text[place] == "\ufe0f" or unicodedata.category(text[place]) in ("So", "Sk"))
