"""The ``demo`` corpus: short reviews, 0 negative and 1 positive, from a seeded grammar of our own.

Nothing is copied from a data set. The grammar is built so that a bag of words cannot solve it: in
about four reviews of ten the words of the other class are present as well, and what decides is the
clause that holds them: negated, conceded, reported and denied, compared, or meant as a joke.
"""

from __future__ import annotations

import random
import re

from demo_corpus.grammar import (
    Slots,
    alternatives,
    chance,
    pick,
    pick_many,
    pick_weighted,
    sentence_case,
    with_article,
)
from demo_corpus.lexicon import PLURAL, SINGULAR, Aspect, Domain
from demo_corpus.review_arts import ARTS
from demo_corpus.review_goods import GOODS
from demo_corpus.review_outings import OUTINGS
from demo_corpus.review_shapes import NEUTRAL, SHAPES

CLASSES = ("negative", "positive")
DOMAINS: tuple[Domain, ...] = (*ARTS, *GOODS, *OUTINGS)
SHORTEST, LONGEST = 8, 35  # words of a review

_HOLE = re.compile(r"\[(~?)([a-z]+)\]")
_FILLERS = {
    "day": alternatives("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "month": alternatives("January|February|March|April|May|June|July|August|September|October|November|December"),
    "season": alternatives("spring|summer|autumn|winter|year"),
    "city": alternatives(
        "Lisbon|Leeds|Turin|Ghent|Porto|Cork|Denver|Austin|Lyon|Oslo|Bristol|Kraków|Boston|Seville|Glasgow|"
        "Toronto|Vienna|Osaka|Melbourne|Chicago"
    ),
    "who": alternatives(
        "my brother|my sister|a colleague|an old friend|my teenage daughter|my father|my wife|my husband|"
        "our neighbour|my flatmate|my aunt|my grandmother|my boss|a friend from work|my son|my cousin"
    ),
    "skill": alternatives("Spanish|photography|bookkeeping|drawing|cooking|Italian|pottery|guitar|Python|carpentry"),
}
_NOT = alternatives(
    "not|never|hardly|anything but|far from|by no means|not remotely|not in the least|not what I would call|"
    "nowhere near"
)
_ADVERBS = alternatives("really|genuinely|consistently|quite|truly|surprisingly|simply|just")
_MIDDLING = alternatives("average|ordinary|fine|acceptable|middling|all right")
_DENIALS = alternatives(
    "I saw no sign of it|I found the reverse|Not in my experience|Nonsense|I could not disagree more|"
    "We must have seen two different things|I would say the opposite"
)
# The following come in pairs, first the negative class, then the positive.
_VERDICTS = (
    alternatives("a dud|a letdown|a bore|a waste of time|a mess|a mistake|a chore|a missed chance"),
    alternatives("a gem|a delight|a treat|a find|a triumph|a bargain|a keeper|a joy"),
)
_OUTWEIGHED = (
    alternatives("It hardly helped|None of which matters|It wore me down all the same|Forgotten at once|Small comfort"),
    alternatives(
        "I hardly minded|None of which matters|It grew on me all the same|Forgiven at once|Small price to pay"
    ),
)
_CLOSINGS = (
    alternatives(
        "I would not {again}|I will never {again}|Would I {again}? Not for free|I cannot think of a reason "
        "to {again}|Not worth a penny|I have warned half the office|Nothing but regrets|I only wish I had "
        "read the reviews sooner|Money badly spent|Hard to find a good word|I take back my hopes|One star, "
        "and I am an easy marker|{rival} would look good beside it|My expectations were low and it missed "
        "them|You will be sorry|Hated it|A disappointment from start to finish|Annoyed with it|It ruined my "
        "{season}|Best avoided|Sorry I took the chance|Could not be more fed up"
    ),
    alternatives(
        "I would happily {again}|I will {again}, and soon|Would I {again}? In a heartbeat|I cannot think of "
        "a reason not to {again}|Worth every penny|I have recommended it to half the office|No regrets|I "
        "only wish I had found it sooner|Money well spent|Hard to find fault|I take back my doubts|Five "
        "stars, and I am a hard marker|{rival} would look poor beside it|My expectations were high and it "
        "met them|You will not be sorry|Loved it|A pleasure from start to finish|Delighted with it|It made "
        "my {season}|Highly recommended|Happy I took the chance|Could not be more pleased"
    ),
)
_CONTRACTIONS = (
    ("I have ", "I've "),
    ("I had ", "I'd "),
    ("I would ", "I'd "),
    ("I will ", "I'll "),
    (" is not ", " isn't "),
    (" was not ", " wasn't "),
    (" cannot ", " can't "),
)


def review(rng: random.Random, label: int) -> str:
    """One review of :data:`SHORTEST` to :data:`LONGEST` words.

    Args:
        rng: source of randomness.
        label: 0 negative, 1 positive.
    """
    while True:
        text = _Review(rng, label).text()
        if SHORTEST <= len(text.split()) <= LONGEST:
            return text


class _Review:
    """One review in the making: a domain, a label, and the parts not talked about so far."""

    def __init__(self, rng: random.Random, label: int) -> None:
        self.rng = rng
        self.label = label
        self.domain = pick(rng, DOMAINS)
        self._aspects = pick_many(rng, self.domain.aspects, len(self.domain.aspects))
        self.part = self._aspects[0]
        self._said = ""
        self.item = pick(rng, alternatives(self.domain.nouns))

    def text(self) -> str:
        """The review as typed."""
        rng, domain = self.rng, self.domain
        shape = pick_weighted(rng, [(shape.weight, shape) for shape in SHAPES])
        template = pick_weighted(rng, shape.positive if self.label else shape.negative)
        parts = [_HOLE.sub(lambda hole: self._fill(hole[2], self.label ^ bool(hole[1])), template)]
        if chance(rng, 0.45):
            parts.insert(0, pick(rng, alternatives(domain.scenes)))
        if shape is not NEUTRAL and chance(rng, 0.60):
            own = alternatives(domain.praise if self.label else domain.blame)
            parts.append(pick(rng, own if chance(rng, 0.3) else _CLOSINGS[self.label]))
        things = {"again": alternatives(domain.again), "rival": alternatives(domain.rivals)}
        slots = Slots(rng, {**_FILLERS, **things})
        last = "!" if chance(rng, 0.07) else "."
        stops = ["."] * (len(parts) - 1) + [last]
        text = " ".join(slots.fill(part) + stop for part, stop in zip(parts, stops, strict=True))
        return _as_typed(rng, text)

    def _fill(self, hole: str, positive: bool | int) -> str:
        """What stands in a bracket of a template: see :mod:`review_shapes`."""
        rng, part, good = self.rng, self.part, bool(positive)
        match hole:
            case "clause":
                return self._clause(good, self._next())
            case "same":
                return self._clause(good, part)
            case "thing":
                return self._next().noun_phrase(rng, good)
            case "sort":
                return part.noun_phrase(rng, good)
            case "the":
                other = self._next()
                return f"the {other.adjective(rng, good)} {other.noun}"
            case "word":
                self._said = part.adjective(rng, good)
                return self._said
            case "other":
                return pick(rng, [word for word in part.adjectives(good) if word != self._said])
            case "better":
                return _counted(part, f"{'better' if good else 'worse'} {part.noun}")
            case "less":
                return _counted(part, f"less {pick(rng, part.adjectives(not good))} {part.noun}")
            case "be":
                return self.domain.be(part)
            case "spare":
                auxiliary = "could not" if self.domain.past else "cannot"
                return f"{auxiliary} {'spoil' if good else 'save'} what {self._is()}"
        return self._fixed(hole, good)

    def _fixed(self, hole: str, good: bool) -> str:
        plural = self.part.kind == PLURAL
        lists = {
            "verdict": _VERDICTS[good],
            "outweighed": _OUTWEIGHED[good],
            "denial": _DENIALS,
            "middling": _MIDDLING,
            "rival": alternatives(self.domain.rivals),
            "item": (self.item,),
            "part": (self.part.noun,),
            "is": (self._is(),),
            "they": ("they" if plural else "it",),
            "them": ("them" if plural else "it",),
        }
        return pick(self.rng, lists[hole])

    def _is(self) -> str:
        return "was" if self.domain.past else "is"

    def _next(self) -> Aspect:
        # The first is the part that the templates hold on to; it is spent last.
        return self._aspects.pop() if self._aspects else pick(self.rng, self.domain.aspects)

    def _clause(self, positive: bool, part: Aspect) -> str:
        """A clause of the asked polarity, now and then by negating the other: "is not thin"."""
        subject, be = f"the {part.noun}", self.domain.be(part)
        form = self.rng.random()
        if form < 0.36:
            return f"{subject} {part.verb_phrase(self.rng, positive)}"
        if form < 0.94:
            adverb = pick(self.rng, _ADVERBS) + " " if chance(self.rng, 0.45) else ""
            return f"{subject} {be} {adverb}{part.adjective(self.rng, positive)}"
        return f"{subject} {be} {pick(self.rng, _NOT)} {part.adjective(self.rng, not positive)}"


def _counted(part: Aspect, phrase: str) -> str:
    return with_article(phrase) if part.kind == SINGULAR else phrase


def _as_typed(rng: random.Random, text: str) -> str:
    """Capitals and contractions as different people type them, whatever the verdict."""
    text = ". ".join(sentence_case(sentence) for sentence in text.split(". "))
    if chance(rng, 0.5):
        for long, short in _CONTRACTIONS:
            text = text.replace(long, short)
    return text.lower() if chance(rng, 0.06) else text
