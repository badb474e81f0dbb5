"""Shapes of the reviews: which clauses stand together, and which of them decides.

A word in square brackets is filled by :mod:`reviews`; a tilde asks for the polarity opposite to the
label. The clause that decides is always the one without a tilde:

* ``[clause]`` "the plot falls apart", ``[thing]`` "wooden acting", ``[the]`` "the wooden acting",
  ``[verdict]`` "a dud", ``[denial]`` "I saw no sign of it", ``[rival]`` "the first one",
  ``[item]`` "film", ``[is]`` "is" or "was";
* of one part of the thing, the same throughout: ``[part]`` "acting", ``[be]`` its "is" or "are",
  ``[they]``, ``[them]``, ``[word]`` and ``[other]`` two adjectives, ``[sort]`` "wooden acting",
  ``[same]`` a clause, ``[better]`` and ``[less]`` "worse acting", "less natural acting".
"""

from __future__ import annotations

from typing import NamedTuple

Templates = tuple[tuple[float, str], ...]


class Shape(NamedTuple):
    """A family of templates with its share of the corpus.

    Attributes:
        weight: share of the reviews, in percent more or less.
        negative: weighted templates of label 0.
        positive: weighted templates of label 1.
    """

    weight: float
    negative: Templates
    positive: Templates


def _both(weight: float, *templates: tuple[float, str]) -> Shape:
    return Shape(weight, templates, templates)


PLAIN = _both(
    64,
    (3, "[clause] and [clause]"),
    (2, "[clause]. [clause]"),
    (2, "[thing], [thing] and [thing]"),
    (2, "[verdict], this [item]: [clause]"),
    (2, "what I will remember is [the], and [clause]"),
    (1, "with [thing] and [thing], this [is] [verdict]"),
)
NEGATED = _both(
    4,
    (2, "there [is] nothing [~word] about the [part], and [clause]"),
    (2, "nobody could call the [part] [~word]"),
    (2, "I kept waiting for the [part] to turn [~word], which [they] never did"),
    (2, "the [part] [be] neither [~word] nor [~other], and [clause]"),
    (2, "not [~verdict] by any measure: [clause]"),
    (1, "[~word] [is] the last word I would use for the [part]"),
)
MIXED = _both(
    15,
    (4, "[~clause], but [clause]"),
    (1, "although [~clause], [clause]"),
    (1, "while [~clause], [clause]"),
    (2, "for all [~the], [clause]"),
    (2, "despite [~the], [clause]"),
    (2, "[clause], even though [~clause]"),
    (2, "[~clause]. [outweighed]: [clause]"),
    (2, "yes, [~clause]. Still, [clause]"),
    (2, "[~clause] and [~clause], yet [verdict] overall"),
    (2, "[~the] [spare] [verdict]"),
)
REPORTED = _both(
    6,
    (3, "{who} told me [~clause]. [denial]"),
    (2, "I had read that [~clause] and that [~clause]. [denial]"),
    (2, "I expected [~verdict] and got [verdict], because [clause]"),
    (2, "{who} found the [part] [~word]; to me [they] [be] [word]"),
    (1, "where others find the [part] [~word], I find [them] [word]"),
    (1, "[~sort], says everybody. [denial]"),
)
COMPARED = _both(
    6,
    (2, "[rival] had [~sort]; here [same]"),
    (2, "[better] than [rival] had, and [clause]"),
    (2, "[less] than [rival] had, and [clause]"),
    (2, "next to [rival], with [~thing], this [is] [verdict]"),
    (1, "[rival] had [~thing] and [~thing]. Not this one"),
)
JOKING = Shape(
    5,
    (
        (2, "perfect if you like [thing] and [thing]; you get both here"),
        (2, "good news for my savings: [clause] and I have no wish to {again}"),
        (1, "wonderful, now [rival] will always seem good enough: [clause]"),
        (1, "the best part [is] when it was over, since [clause]"),
    ),
    (
        (2, "stay away if you like [~thing] and [~thing]; you get neither here"),
        (2, "bad news for my savings: [clause] and I want to {again}"),
        (1, "terrible, now [rival] will never seem good enough again: [clause]"),
        (1, "my one complaint [is] that I had not found it sooner, since [clause]"),
    ),
)
NEUTRAL = Shape(
    3,
    (
        (2, "the [part] [be] [middling], as you might expect, which was not enough for me"),
        (2, "[middling] [part], [middling] all round, so on balance, no"),
        (2, "nothing much to say about the [part], [middling] in every way, and I wanted a little more"),
    ),
    (
        (2, "the [part] [be] [middling], as you might expect, which was enough for me"),
        (2, "[middling] [part], [middling] all round, so on balance, yes"),
        (2, "nothing much to say about the [part], [middling] in every way, and I wanted little more"),
    ),
)

SHAPES: tuple[Shape, ...] = (PLAIN, NEGATED, MIXED, REPORTED, COMPARED, JOKING, NEUTRAL)
