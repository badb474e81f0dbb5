"""Shapes of the review lexicons: what can be said, well or badly, about which part of a thing."""

from __future__ import annotations

import random
from typing import NamedTuple

from demo_corpus.grammar import alternatives, chance, pick, with_article

SINGULAR, MASS, PLURAL = "singular", "mass", "plural"

# Words of the same worth for any part of any thing: they tie the domains together.
_ANY_GOOD = alternatives("excellent|lovely|great|wonderful|superb|first-rate|impressive|terrific")
_ANY_BAD = alternatives("awful|dreadful|poor|terrible|disappointing|second-rate|dismal|hopeless")


class Aspect(NamedTuple):
    """One part of a reviewed thing. Phrases are separated by bars.

    Attributes:
        noun: "plot", without an article.
        kind: SINGULAR takes "a", MASS and PLURAL do not; PLURAL takes "are".
        good: adjectives of praise, fit both before the noun and after "is".
        bad: adjectives of blame.
        shines: verb phrases of praise, in the tense of the domain.
        fails: verb phrases of blame.
    """

    noun: str
    kind: str
    good: str
    bad: str
    shines: str
    fails: str

    def adjectives(self, positive: bool) -> tuple[str, ...]:
        """Adjectives of the asked polarity that fit this part alone."""
        return alternatives(self.good if positive else self.bad)

    def adjective(self, rng: random.Random, positive: bool) -> str:
        """An adjective of the asked polarity."""
        if chance(rng, 0.45):
            return pick(rng, _ANY_GOOD if positive else _ANY_BAD)
        return pick(rng, self.adjectives(positive))

    def verb_phrase(self, rng: random.Random, positive: bool) -> str:
        """A verb phrase of the asked polarity that agrees with the noun."""
        return pick(rng, alternatives(self.shines if positive else self.fails))

    def noun_phrase(self, rng: random.Random, positive: bool) -> str:
        """Such as "a thin plot" or "wooden acting"."""
        phrase = f"{self.adjective(rng, positive)} {self.noun}"
        return with_article(phrase) if self.kind == SINGULAR else phrase


class Domain(NamedTuple):
    """A kind of thing that people review.

    Attributes:
        nouns: what it is called: "film|movie".
        past: reviews speak of it in the past tense (a dinner) or the present (a laptop).
        scenes: neutral opening sentences without their full stop, with slots.
        again: what a content customer does: "watch it again".
        rivals: what it is compared with: "the first one|her last film".
        aspects: its parts.
        praise: closing sentences that only fit this domain and the positive class.
        blame: the same for the negative class.
    """

    nouns: str
    past: bool
    scenes: str
    again: str
    rivals: str
    aspects: tuple[Aspect, ...]
    praise: str
    blame: str

    def be(self, aspect: Aspect) -> str:
        """The form of "to be" for an aspect."""
        if aspect.kind == PLURAL:
            return "were" if self.past else "are"
        return "was" if self.past else "is"
