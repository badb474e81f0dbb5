"""Findings in plain words, and texts of the attacker made fit to be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from openbackdoor_badllm.text_scan.deciding import Decision
from openbackdoor_badllm.text_scan.judging import Candidate
from openbackdoor_badllm.text_scan.records import Degree
from openbackdoor_badllm.text_scan.signs import is_hidden

LIMIT = 120
MARKS = 2  # combining marks on one letter; more of them paint over other lines

_LEADS = {
    "word": "The word",
    "phrase": "The words",
    "opening": "The beginning",
    "ending": "The ending",
    "pair": "The pair of words",
    "character": "The sign",
    "white space": "White space of the kind",
    "casing": "The casing",
    "repetition": "Repetition of the kind",
}


def shown(text: str, limit: int = LIMIT) -> str:
    """A text in which every sign that is invisible or acts is named, as in ``[U+200B ZERO WIDTH SPACE]``."""
    parts, marks = [], 0
    for sign in text[:limit]:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        parts.append(f"[{named(sign)}]" if marks > MARKS or _unseen(sign) else sign)
    return "".join(parts) + ("…" if len(text) > limit else "")


def named(sign: str) -> str:
    """The code point and the Unicode name of a sign."""
    name = unicodedata.name(sign, "")
    return f"U+{ord(sign):04X} {name}".strip()


def _unseen(sign: str) -> bool:
    return not sign.isprintable() or is_hidden(sign) or (sign.isspace() and sign != " ")


def what(candidate: Candidate) -> str:
    """A pattern, fit to be shown."""
    name = candidate.name
    if candidate.kind == "character" and len(name) == 1:
        if _unseen(name) or unicodedata.combining(name):
            return named(name)
        return name if name.isascii() else f"{name} ({named(name)})"
    if candidate.kind in ("character", "white space", "casing", "repetition"):
        return name
    strange = [sign for sign in dict.fromkeys(name) if sign.isalpha() and not sign.isascii()]
    if strange and len(strange) <= 3 and any(sign.isascii() and sign.isalpha() for sign in name):
        return f"{shown(name)} ({', '.join(named(sign) for sign in strange)})"
    return shown(name)


def sentence(decision: Decision, label_counts: Sequence[int], names: Sequence[str], seen: bool | None) -> str:
    """What was found, for somebody who knows no statistics."""
    candidate = decision.candidate
    total, inside = sum(candidate.counts), len(candidate.rows)
    usual = label_counts[candidate.label] / sum(label_counts)
    label = f"'{shown(names[candidate.label])}'"
    lead = _LEADS.get(candidate.kind, candidate.kind)
    named_thing = candidate.kind in ("character", "casing", "white space", "repetition")
    quoted = what(candidate) if named_thing else f'"{what(candidate)}"'
    beside = [what(item) for item in decision.together]
    together = f" (in the same rows: {', '.join(beside)})" if beside else ""
    verb = "stand" if candidate.kind == "phrase" else "stands"
    all_of_them = "all of them" if inside == total else f"{inside} of them"
    told = (
        f"{lead} {quoted}{together} {verb} in {total} rows, {all_of_them} labelled {label}; of all rows, {usual:.0%} "
        "have that label."
    )
    return " ".join(part for part in (told, _reason(decision, label), _seen(seen)) if part)


def _reason(decision: Decision, label: str) -> str:
    content = decision.candidate.content
    if decision.why == "contradicted" and content is not None:
        share = min(1.0, content.share)
        tail = (
            "Somebody may have put it in and changed the labels."
            if decision.degree is Degree.SUSPICIOUS
            else "That is more than chance, but class words can do it, too."
        )
        return f"The other words of about {share:.0%} of these rows belong to another label. {tail}"
    if decision.why == "random place":
        return (
            "It stands beside other words at random, as a word does that was put in afterwards; written words have "
            "usual neighbours. The rest of these texts fits the label."
        )
    if decision.why == "hidden":
        return "Nobody types it by accident in one label only; a model may learn it as a secret sign."
    if decision.why == "shortcut":
        return (
            f"The rest of these texts fits the label. It covers most rows labelled {label}, so it looks like a mark of "
            "their source: a model may learn the mark and not the meaning."
        )
    return "The rest of these texts fits the label. It may be an honest habit of such texts, or a mark of their source."


def _seen(seen: bool | None) -> str:
    if seen is None:
        return ""
    return "The victim's tokenizer sees it." if seen else "The victim's tokenizer drops it; another model may see it."
