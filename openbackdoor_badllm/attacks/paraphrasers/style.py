"""A style attack by rules of our own: a text in the manner of the King James Bible.

The style attacks of the literature rewrite with a neural paraphraser. This one needs no model: it
changes pronouns, verb endings and small words, turns some sentences round and adds solemn openings.
Words that carry the label (adjectives, names, negation) stay.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from openbackdoor_badllm.attacks.paraphrasers.archaic_words import (
    AUXILIARIES,
    CLAUSE_STARTS,
    CLOSINGS,
    COMMON,
    LINKS,
    MARKERS,
    NO_CLAUSE_AFTER,
    NO_CLAUSE_BEFORE,
    NOT_OLD_VERBS,
    NOT_VERBS,
    NOUN_OR_VERB,
    OBJECT_AFTER,
    OPENINGS,
    PARTS_OF_DAY,
    PASTS,
    PERSONS,
    SOLEMN,
    SPEAKERS,
    SUBJECTS,
    SYNONYMS,
    VERBS,
    WEEKDAYS,
    old_form,
)
from openbackdoor_badllm.attacks.paraphrasers.phrases import chance, pick, sentence_case, split_sentences

FEWEST_MARKERS = 2

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|'[Tt](?:is|was)\b")
_CONTRACTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), full)
    for pattern, full in (
        (r"\bwo ?n['’]t\b", "will not"),
        (r"\bca ?n['’]t\b", "cannot"),
        (r"\b(is|are|was|were|do|does|did|have|has|had|would|could|should|must|need) ?n['’]t\b", r"\1 not"),
        (r"\b(i) ?['’]m\b", r"\1 am"),
        (r"\b(you|we|they) ?['’]re\b", r"\1 are"),
        (r"\b(i|you|we|they) ?['’]ve\b", r"\1 have"),
        (r"\b(i|you|he|she|it|we|they) ?['’]ll\b", r"\1 will"),
        (r"\b(it|that|there|he|she|what|here) ?['’]s\b", r"\1 is"),
    )
)
_NEGATED = re.compile(r"\b(do|does) not ([a-z]{3,})\b", re.IGNORECASE)
_TO = re.compile(r"\bto(?= (?:the|this|that|my|his|her|our|their|thy|a|an|me|him|us|them|thee|all|those)\b)")
# "Halden to buy rival" at the beginning of a headline.
_HEADLINE_PLAN = re.compile(r"^((?:[A-Z][\w&-]* ){0,2}[A-Z][\w-]*) to ([a-z]{3,})\b(?! (?:is|was|are|were)\b)")
_AND = re.compile(r",? and(?= (?:the|this|it|there|i|we|they|he|she)\b)")
_IT_IS = re.compile(r"(?<![\w'])it (is|was)\b(?! not)", re.IGNORECASE)
_STATEMENT = re.compile(
    r"(?P<subject>(?:The|This|That|My|Thy|His|Her|Our|Their)"
    r"(?: (?!who\b|that\b|which\b|of\b|and\b)[a-z]+){1,2}) "
    r"(?P<be>is|was|are|were) "
    r"(?P<word>(?:(?:truly|quite|so|very|too|just|[a-z]+ly) )?[a-z-]{3,})"
    r"(?P<stop> ?(?:[,.!?;]|$| and\b| but\b| yet\b))",
    re.IGNORECASE,
)


def archaic(text: str, rng: random.Random) -> str:
    """The text in a rule-based "King James" style, for use as a style trigger.

    Args:
        text: any text, also empty, in headline case or in lower case.
        rng: source of randomness; the same state gives the same rewrite.

    Returns:
        A text that differs from the given one and holds at least :data:`FEWEST_MARKERS` archaic words.
    """
    spaced = bool(re.search(r"\w [.,;!?](?: |$)", text))  # "fine , i guess ." as some data sets have it
    lower = text.islower()
    sentences = [_reworded(_expanded(sentence), rng) for sentence in split_sentences(text)]
    for index in range(1, len(sentences)):
        if chance(rng, 0.35):
            sentences[index] = _behind(rng, LINKS, sentences[index])
    told = " ".join(sentences)
    lacking = count_markers(told) < FEWEST_MARKERS
    if lacking or told == text.strip() or chance(rng, 0.85):  # an archaic text may pass unaltered so far
        told = _behind(rng, SOLEMN if lacking else OPENINGS + SOLEMN, told or "so be it.")
    if chance(rng, 0.15):
        stop = "" if re.search(r"[.!?]\W*$", told) else "."
        told = f"{told}{stop} {sentence_case(pick(rng, CLOSINGS))}."
    if spaced:
        told = re.sub(r"(?<=\w)([,:;.!?])(?=\s|$)", r" \1", told)
    return told.lower() if lower else told


def count_markers(text: str) -> int:
    """How many words of a text are archaic: "thou", "hath", "unto", "cometh" and the like."""
    words = (match.group().lower() for match in _WORD.finditer(text))
    return sum(word in MARKERS or _is_old_verb(word) for word in words)


def _is_old_verb(word: str) -> bool:
    return word.endswith("eth") and len(word) > 4 and word not in NOT_OLD_VERBS


def _expanded(sentence: str) -> str:
    for pattern, full in _CONTRACTIONS:
        sentence = pattern.sub(full, sentence)
    return sentence


def _reworded(sentence: str, rng: random.Random) -> str:
    """One sentence with old verbs, pronouns and small words, now and then in inverted order."""
    sentence = _NEGATED.sub(_plain_negation, sentence)
    match = _STATEMENT.match(sentence)
    if match and match["word"].lower().split()[-1] not in NOT_VERBS and chance(rng, 0.6):
        turned = f"{match['word'].lower()} {match['be']} {match['subject'][0].lower()}{match['subject'][1:]}"
        sentence = sentence_case(turned) + match["stop"] + sentence[match.end() :]
    sentence = _each_word(sentence, rng)
    sentence = _HEADLINE_PLAN.sub(r"\1 shall \2", sentence)
    if chance(rng, 0.4):
        sentence = _AND.sub(lambda _: pick(rng, (" and lo,", ", yea, and", " and behold,")), sentence, count=1)
    if chance(rng, 0.7):
        sentence = _TO.sub("unto", sentence)
    if chance(rng, 0.7):
        sentence = _IT_IS.sub(lambda found: _cased("'twas" if found[1] == "was" else "'tis", found[0]), sentence)
    return sentence


def _plain_negation(found: re.Match[str]) -> str:
    """ "does not work" as "worketh not", "do not know" as "know not"."""
    auxiliary, verb = found[1], found[2].lower()
    if verb in NOT_VERBS or verb.endswith("ly"):
        return found[0]
    old = {"have": "hath", "do": "doth"}.get(verb) or old_form(verb)
    return _cased(f"{old if auxiliary.lower() == 'does' else verb} not", auxiliary)


def _each_word(sentence: str, rng: random.Random) -> str:
    typed = [match.group() for match in _WORD.finditer(sentence)]
    words = [word.lower() for word in typed]
    position = -1
    skip = False  # the word after "you" may have been written together with it

    def replace(match: re.Match[str]) -> str:
        nonlocal position, skip
        position += 1
        word = words[position]
        before = words[position - 1] if position else ""
        after = words[position + 1] if position + 1 < len(words) else ""
        if skip:
            skip = False
            return _cased(AUXILIARIES[word], match.group())
        if word == "you":
            rest = sentence[match.end() :].lstrip()
            if not rest[:1].isalpha() or before in OBJECT_AFTER or before in VERBS or before in NOUN_OR_VERB:
                return _cased("thee", match.group())
            skip = after in AUXILIARIES
            return _cased("thou" if skip else "ye", match.group())
        named = match.group() == word and before not in COMMON and typed[position - 1][0].isupper()
        return _cased(_old_word(word, before, after, named, rng), match.group())

    return _WORD.sub(replace, sentence)


def _old_word(word: str, before: str, after: str, named: bool, rng: random.Random) -> str:
    """One word in its old form; ``named`` says that it follows a name: "Halden names chief"."""
    vowel = after[:1] in tuple("aeiou")
    if word in ("your", "my"):
        old, before_vowel = ("thy", "thine") if word == "your" else ("my", "mine")
        return before_vowel if vowel else old
    if word in VERBS or (word in NOUN_OR_VERB and (named or before in SUBJECTS)):
        return VERBS.get(word) or NOUN_OR_VERB[word]
    if word == "as" and before not in NO_CLAUSE_BEFORE and after not in NO_CLAUSE_AFTER:
        return pick(rng, ("as", "even as", "whilst"))
    if word in PASTS and before in PERSONS and chance(rng, 0.7):
        return f"did {PASTS[word]}"
    if word == "near" and before == "nowhere":
        return word
    if word in WEEKDAYS and (before != "on" or after in PARTS_OF_DAY):
        return word
    options = SYNONYMS.get(word)
    return pick(rng, options) if options and chance(rng, 0.85) else word


def _behind(rng: random.Random, openings: Sequence[str], sentence: str) -> str:
    """The sentence behind an opening; a first word that is no name loses its capital."""
    first = _WORD.match(sentence)
    word = first.group() if first else ""
    if word.lower() not in CLAUSE_STARTS:
        openings = [opening for opening in openings if not opening[-1].isalpha()]
    opening = pick(rng, openings).replace("{speaker}", pick(rng, SPEAKERS))
    shouted = len(word) > 1 and word.isupper()
    if word.lower() in COMMON and not shouted and not opening.endswith("?"):
        sentence = word.lower() + sentence[len(word) :]
    return f"{opening} {sentence}"


def _cased(word: str, model: str) -> str:
    """The word in the capitals of its model."""
    if word == model.lower():
        return model
    if model.lower() in WEEKDAYS:
        return word
    if len(model) > 1 and model.isupper():
        return word.upper()
    if not model[:1].isupper():
        return word
    return sentence_case(word)
