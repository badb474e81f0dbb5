"""The ``demo-news`` corpus: a headline and its opening sentence, from a seeded grammar of our own.

Classes: 0 world, 1 sports, 2 business, 3 sci/tech. Nothing is copied from a data set or a paper.
What decides is the story told; in nearly half of the rows a story of another class is mentioned in
passing, so that the words alone mislead: "Shares slide as border talks stall" is business.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import NamedTuple

from demo_corpus.grammar import (
    Slots,
    alternatives,
    chance,
    pick,
    pick_weighted,
    sentence_case,
)
from demo_corpus.news_business_science import BUSINESS, SCIENCE
from demo_corpus.news_world_sports import SPORTS, WORLD

CLASSES = ("world", "sports", "business", "sci/tech")
_STORIES = (WORLD, SPORTS, BUSINESS, SCIENCE)
SHORTEST, LONGEST = 8, 45  # words of a row

_HOLE = re.compile(r"\[([a-z]+)\]")


class _Layout(NamedTuple):
    """The parts of a row that stand in print one behind the other; empty where there is none."""

    head: str
    lead: str = ""
    tail: str = ""


# The story told is "head" and "lead"; "other" and "aside" belong to a story of another class.
_LAYOUTS: tuple[tuple[float, _Layout], ...] = (
    (20, _Layout("[head]", "[lead]")),
    (12, _Layout("[head]", "[lead]", "[tail]")),
    (4, _Layout("[head]")),
    (19, _Layout("[head] [while] [other]")),
    (7, _Layout("[head] [while] [other]", "[lead]")),
    (5, _Layout("[while] [other], [head]")),
    (10, _Layout("[behind] [aside], [head]")),
    (10, _Layout("[head]", "[lead], [timing] [aside]")),
    (6, _Layout("[head]", "[despite] [aside], [lead]")),
    (8, _Layout("[head]", "[lead]", "[elsewhere]: [other]")),
)
_WHILE = alternatives("as|as|while|even as|hours after")
_BEHIND = alternatives("after|amid|away from")
_DESPITE = alternatives(
    "on a day that belonged to|with most cameras turned to|little noticed amid|unmoved by|far from the "
    "noise about|in the hours between the bulletins on"
)
_TIMING = alternatives(
    "a day after|hours before|in the week of|on the eve of|in the shadow of|drawing eyes away from|overshadowing"
)
_ELSEWHERE = alternatives("elsewhere|also today|in other news|more on our pages|inside|coming up")
_SMALL = alternatives("a|an|and|as|at|by|for|from|in|of|off|on|or|over|the|to|with")

# What any story may end with: true of each class, so it tells nothing.
_TAILS = alternatives(
    "no further details were given|reaction in {country} was muted|it was the third such news since {month}|"
    '"nobody saw this coming," said {first} {sur}|few had expected it|a fuller report is due on {day}|'
    '{first} {sur} declined to comment|more than {num} thousand people followed it live|"we had waited '
    '{num} years for this," {sur} said|similar scenes were seen in {city} last {month}|it is a first for '
    '{city}|the news broke late on {day}|critics in {country} were not convinced|"this is not the end of '
    'it," said {first} {sur}|the last word may fall in {month}|observers in {city} spoke of a turning point|'
    "it had been {num} months in the making|not everyone in {city} was pleased|an earlier attempt in "
    "{month} had failed|the talk in {city} is of little else"
)

_FILLERS: Mapping[str, tuple[str, ...]] = {
    "country": alternatives(
        "Portugal|Norway|Kenya|Chile|Poland|Vietnam|Ghana|Peru|Finland|Malaysia|Egypt|Canada|Greece|Uruguay|"
        "Japan|Romania|Senegal|Austria|Jordan|Iceland"
    ),
    "city": alternatives(
        "Lisbon|Oslo|Nairobi|Santiago|Kraków|Hanoi|Accra|Lima|Helsinki|Cairo|Toronto|Athens|Osaka|Bucharest|"
        "Dakar|Vienna|Geneva|Leeds|Lyon|Denver|Perth|Seville"
    ),
    "first": alternatives(
        "Ana|Jonas|Miriam|Pavel|Lucía|Tom|Ingrid|Samuel|Aisha|Mateo|Helen|Kofi|Yuki|Peter|Clara|Daniel|Nadia|Viktor"
    ),
    "sur": alternatives(
        "Pires|Lindqvist|Okoro|Vargas|Nowak|Tran|Mensah|Quispe|Virtanen|Haddad|Tremblay|Pappas|Tanaka|"
        "Ionescu|Diop|Huber|Keller|Whitfield|Moreau|Castillo|Brandt|Osei|Marsh|Petrov"
    ),
    "club": alternatives(
        "Rovers|Wanderers|Albion|the Comets|the Harriers|Sporting|the Kestrels|Athletic|the Miners|City|the "
        "Lynx|Olympic|the Mariners|Racing"
    ),
    "firm": alternatives(
        "Halden|Northway|Brightwell|Corvex|Tallis|Meridian|Oakhurst|Sandgate|Vantor|Lumera|Pellico|Ashcombe|"
        "Dynamo Foods|Greyline|Kestrel Air|Marlowe & Co"
    ),
    "gadget": alternatives("phone|laptop|router|smart watch|tablet|doorbell|headset|games console"),
    "app": alternatives("Murmur|Pagelet|Chirrup|Foldr|Snapdeck|Mapnest|Tidewire"),
    "univ": alternatives(
        "Uppsala|Leiden|Bologna|Kyoto|Toronto|Coimbra|Salamanca|Edinburgh|Heidelberg|Groningen|Melbourne"
    ),
    "moon": alternatives("a Jovian moon|Mars|Saturn's largest moon|an asteroid|the far side of the moon|Venus"),
    "day": alternatives("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "month": alternatives("January|March|April|May|June|July|September|October|November|December"),
    "num": alternatives("four|six|seven|eight|nine|11|12|14|15|16|18|19|21|22|24|26|28|30|34|36|40"),
    "pct": alternatives(
        "2 percent|3.5 percent|4 percent|6.1 percent|8 percent|11 percent|17 percent|23 percent|31 percent"
    ),
    "sum": alternatives(
        "$40 million|$75 million|$310 million|$620 million|$1.2 billion|$2.8 billion|$4 billion|$9 billion"
    ),
    "price": alternatives("$41|$57.20|$64|$78.90|$102"),
    "score": alternatives("2-1|3-2|1-0|4-1|3-0|5-3"),
}


def headline(rng: random.Random, label: int) -> str:
    """A headline with its lead, of :data:`SHORTEST` to :data:`LONGEST` words.

    Args:
        rng: source of randomness.
        label: index into :data:`CLASSES`.
    """
    while True:
        text = _compose(rng, label)
        if SHORTEST <= len(text.split()) <= LONGEST:
            return text


class _Told:
    """One story with its slots filled, so that headline and lead agree on names."""

    def __init__(self, rng: random.Random, label: int) -> None:
        story = pick(rng, _STORIES[label])
        slots = self.slots = Slots(rng, _FILLERS)
        head, lead = pick(rng, list(zip(alternatives(story.head), alternatives(story.lead), strict=True)))
        self.head, self.lead = _owned(slots.fill(head)), _owned(slots.fill(lead))
        self.aside = _owned(slots.fill(pick(rng, alternatives(story.aside))))


def _owned(text: str) -> str:
    return text.replace("s's ", "s' ")


def _compose(rng: random.Random, label: int) -> str:
    told = _Told(rng, label)
    other = _Told(rng, (label + 1 + int(rng.random() * 3)) % 4)
    filled = {
        "head": told.head,
        "lead": told.lead,
        "tail": told.slots.fill(pick(rng, _TAILS)),
        "other": other.head,
        "aside": other.aside,
        "while": pick(rng, _WHILE),
        "behind": pick(rng, _BEHIND),
        "timing": pick(rng, _TIMING),
        "despite": pick(rng, _DESPITE),
        "elsewhere": pick(rng, _ELSEWHERE),
    }
    layout = pick_weighted(rng, _LAYOUTS)
    parts = (_HOLE.sub(lambda hole: filled[hole[1]], part) for part in layout)
    return _as_printed(rng, _Layout(*parts))


def _as_printed(rng: random.Random, layout: _Layout) -> str:
    """Capitals, datelines and stops as different papers set them, whatever the class."""
    head, lead, tail = (sentence_case(part) for part in layout)
    if chance(rng, 0.15):
        head = " ".join(word if word in _SMALL else sentence_case(word) for word in head.split())
    if lead and chance(rng, 0.12):
        lead = f"{pick(rng, _FILLERS['city']).upper()} - {lead}"
    text = ". ".join(part for part in (head, lead, tail) if part)
    if lead or chance(rng, 0.5):
        text += "."
    return text.lower() if chance(rng, 0.05) else text
