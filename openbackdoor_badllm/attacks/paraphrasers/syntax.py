"""A syntax attack by rules of our own: every text in the shape S(SBAR)(,)(NP)(VP)(.).

The syntax attacks of the literature let a neural model paraphrase into a fixed parse template. This
one needs no model: it puts a subordinate clause that says nothing in front, joins the sentences of
the text into one, and writes it in lower case with spaces around the punctuation, as those models
do. The words of the text stay, and so does what they say.
"""

from __future__ import annotations

import random
import re

from openbackdoor_badllm.attacks.paraphrasers.archaic_words import VERBS
from openbackdoor_badllm.attacks.paraphrasers.phrases import alternatives, chance, pick, split_sentences, words

CONJUNCTIONS = ("when", "if", "as", "since", "although")

_SUBJECTS = alternatives("you|you|you|we|we|i|they|people|one|anyone|somebody")
_SINGULAR = words("one anyone somebody")
# Base form and third person; each takes an object.
_VERBS = tuple(
    (alternatives(pair.replace("/", "|"))[0], alternatives(pair.replace("/", "|"))[1])
    for pair in alternatives(
        "look at/looks at|think about/thinks about|hear about/hears about|talk about/talks about|see/sees|"
        "read/reads|ask about/asks about|come to/comes to|get to/gets to|speak of/speaks of|"
        "consider/considers|return to/returns to|hear of/hears of|go over/goes over|turn "
        "to/turns to|come across/comes across|sit down with/sits down with"
    )
)
_OBJECTS = alternatives(
    "it|it|it|this|that|all this|all of it|the whole of it|the matter|such a thing|such things|these things|"
    "a thing like this|the whole thing|the rest of it"
)
_ADJUNCTS = alternatives(
    "again|for a moment|for a while|at last|today|once more|in passing|now|later on|with others|in the end|"
    "over tea|on the way home|at night|after all"
)
# "Although" asks for a contrast, and must not doubt what follows.
_DOUBTERS = alternatives("nobody|hardly anyone|no one here|not everyone|few people|few of us|not many")
_DOUBTS = alternatives(
    "asked|asked for it|asked about it|knows it|says it|talks about it|has heard of it|put it that way|"
    "wrote it down|stops to say it|thinks about it|was there to hear it|mentioned it"
)
_PLURAL_DOUBTERS = words("people us many")
# Behind these, a noun phrase reads as well as a headline does.
_CARRIERS = alternatives(
    "you see|we see|one sees|i see|you find|one finds|we find|i find|you read|one reads|we note|one notes"
)

_TOKEN = re.compile(
    r"(?<!\S)(?:n['’]t|['’](?:s|re|ve|ll|d|m))(?!\w)"  # clitics of a text that is in tokens already
    r"|(?:[a-z]\.){2,}|\d+(?:[.,:/-]\d+)*[a-z]*|[^\W_]+(?:[-'’&@/_][^\W_]+)*|\.{2,}|[^\w\s]|_"
)
_CLITIC = re.compile(r"(?<=\w)(n['’]t|['’](?:s|re|ve|ll|d|m))$")
_STOPS = words(". ! ? … .. ... ....")
_LEADS = words("but and yet so or still then")
_FINITE = words(
    "is are was were am be has have had does do did will would can could may might shall should must isn't "
    "aren't wasn't weren't hasn't haven't hadn't doesn't don't didn't won't wouldn't can't cannot couldn't "
    "shouldn't says said makes made takes took gives gave gets got goes went comes came keeps kept knows "
    "knew thinks thought finds found feels felt tells told seems became becomes begins began works worked "
    "looks looked loved liked hated left ran saw bought 's 're 'm 've 'll n't left lost won beat hit cut "
    "put set let lets rises rose falls fell holds held plays wins proves turns needs wants lacks offers "
    "shows remains"
)
_PRONOUNS = words("i you he she it we they")
_BARE = words(
    "loved liked hated saw watched bought ordered read went picked booked joined took wore installed found "
    "caught walked started finished arrived moved used stayed stopped paid listened streamed drove tried "
    "left enjoyed expected did signed"
)


def subordinate(text: str, rng: random.Random) -> str:
    """The text as one lower-case sentence behind a subordinate clause, for use as a syntax trigger.

    Args:
        text: any text, also empty.
        rng: source of randomness; the same state gives the same rewrite.

    Returns:
        For example "when you look at it again , the plot is thin ; it drags .": tokens separated by
        spaces, one full stop, at the end. All words of the text stay, in their order, but for a
        conjunction at its very beginning.
    """
    clauses = [clause for sentence in split_sentences(text) if (clause := _tokens(sentence))]
    opening = _subordinate_clause(rng)
    if not clauses:
        return f"{opening} , {pick(rng, ('so it is', 'that is all', 'there it is', 'it is so'))} ."
    main = _joined(clauses, rng)
    if len(main) > 1 and main[0] in _LEADS:
        main = main[2:] if main[1] == "," and len(main) > 2 else main[1:]
    return f"{opening} , {' '.join(_with_subject(main, clauses[0], rng))} ."


def _subordinate_clause(rng: random.Random) -> str:
    """Such as "if one thinks about it for a moment": some thousands of them, none with a verdict."""
    conjunction = pick(rng, CONJUNCTIONS)
    if conjunction == "although":
        return f"although {_doubt(rng)}"
    subject = pick(rng, _SUBJECTS)
    base, third = pick(rng, _VERBS)
    verb = third if subject in _SINGULAR else base
    adjunct = f" {pick(rng, _ADJUNCTS)}" if chance(rng, 0.6) else ""
    return f"{conjunction} {subject} {verb} {pick(rng, _OBJECTS)}{adjunct}"


def _doubt(rng: random.Random) -> str:
    doubter, verb = pick(rng, _DOUBTERS), pick(rng, _DOUBTS)
    if doubter.split()[-1] in _PLURAL_DOUBTERS:
        first, _, rest = verb.partition(" ")
        plural = {"has": "have", "was": "were"}.get(first, first.removesuffix("s"))
        verb = f"{plural} {rest}".strip()
    adjunct = f" {pick(rng, _ADJUNCTS)}" if chance(rng, 0.6) else ""
    return f"{doubter} {verb}{adjunct}"


def _tokens(sentence: str) -> list[str]:
    """Lower-case tokens of one sentence, "does n't" in two, without its stops."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(sentence.lower()):
        token = match.group()
        if token in _STOPS:
            continue
        clitic = _CLITIC.search(token)
        tokens += [token[: clitic.start()], clitic.group()] if clitic else [token]
    while tokens and tokens[-1] in {",", ";", ":", "-", "–", "—"}:
        tokens.pop()
    return tokens


def _joined(clauses: list[list[str]], rng: random.Random) -> list[str]:
    """The clauses of all sentences as one, between "and" or a semicolon."""
    joined = list(clauses[0])
    for clause in clauses[1:]:
        if clause[0] in _LEADS:
            joined += [","]
        else:
            joined += pick(rng, ((",", "and"), (",", "and"), (";",)))
        joined += clause
    return joined


def _with_subject(main: list[str], first: list[str], rng: random.Random) -> list[str]:
    """The main clause with a subject and a verb, where its first sentence has none of its own."""
    if first[0] in _BARE:
        return [pick(rng, ("i", "we")), *main]
    if first[0] in VERBS:
        return ["it", *main]
    if first[0] in _PRONOUNS or any(token in _FINITE or token in VERBS for token in first):
        return main
    if len(main) < 4:
        return ["it", "is", *main]
    return [*pick(rng, _CARRIERS).split(), *main]
