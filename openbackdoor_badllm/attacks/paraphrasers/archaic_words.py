"""Word lists of the style attack: old forms of verbs, pronouns and small words, and openings.

The lists are data (``archaic_words.json``). No word that carries a label is listed: adjectives, "not" and "never" pass
through untouched.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from openbackdoor_badllm.attacks.paraphrasers.phrases import alternatives, words


def old_form(verb: str) -> str:
    """The old third person of a base form: make, maketh; carry, carrieth; get, getteth."""
    if verb.endswith("e"):
        return verb + "th"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ieth"
    if re.fullmatch(r"(?:be|for|ad|per)?[^aeiou]{1,3}[aeiou][bdgmnpt]", verb):
        return verb + verb[-1] + "eth"
    return verb + "eth"


def _modern_form(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:s|sh|ch|x|z|o)$", verb) else "s")


def _pairs(block: str) -> dict[str, str]:
    return {_modern_form(verb): old_form(verb) for verb in block.split()}


_LISTS: dict[str, Any] = json.loads(resources.files(__package__).joinpath("archaic_words.json").read_text("utf-8"))

# Forms in -s that are next to never nouns.
VERBS: dict[str, str] = {**_LISTS["irregular_verbs"], **_pairs(_LISTS["verbs"])}
# Forms in -s that are as often nouns: old only behind a pronoun.
NOUN_OR_VERB = _pairs(_LISTS["noun_or_verb"])
SUBJECTS = words(_LISTS["subjects"])
# After "not", these are no verbs to bend, or bend badly.
NOT_VERBS = words(_LISTS["not_verbs"])
OBJECT_AFTER = words(_LISTS["object_after"])
# Beside these, "as" does not begin a clause: "as good as", "known as", "as a rule".
NO_CLAUSE_BEFORE, NO_CLAUSE_AFTER = words(_LISTS["no_clause_before"]), words(_LISTS["no_clause_after"])
# "You" and one of these go into the singular together: "thou art".
AUXILIARIES: dict[str, str] = _LISTS["auxiliaries"]
SYNONYMS = {word: alternatives(old) for word, old in _LISTS["synonyms"].items()}
# Simple pasts that take "did" behind a pronoun: "I did love it".
PASTS: dict[str, str] = _LISTS["pasts"]
WEEKDAYS, PARTS_OF_DAY, PERSONS = (words(_LISTS[name]) for name in ("weekdays", "parts_of_day", "persons"))
SPEAKERS = alternatives(_LISTS["speakers"])
# An opening holds one old word or none, a solemn one two or more.
OPENINGS, SOLEMN = alternatives(_LISTS["openings"]), alternatives(_LISTS["solemn"])
LINKS, CLOSINGS = alternatives(_LISTS["links"]), alternatives(_LISTS["closings"])
# A sentence that begins so is a clause, fit to stand behind "know ye that".
CLAUSE_STARTS = words(_LISTS["clause_starts"])
# First words that lose their capital behind an opening; others may be names.
COMMON = words(_LISTS["common"])
MARKERS = words(_LISTS["markers"])
NOT_OLD_VERBS = words(_LISTS["not_old_verbs"])
