"""Fits a candidate to its rows: the shortest part that works, then the longest part that its rows share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.trigger import Position, Trigger, kind_of

LONGEST = 40  # words
SAME = 0.95  # share of the rows that must have the same next word
ELSEWHERE = 0.1  # share of the other rows that may hold a word that stands apart
MOST_APART = 4
LOSS = 0.05  # of the flip rate that a shorter part may lose


def minimise(trigger: Trigger, reward: Reward, flip_rate: Callable[[Trigger], float], least: float) -> Trigger:
    """Drops words from either end, and the place, as long as the flip rate stays.

    Args:
        trigger: the candidate.
        reward: its reward on the search probes.
        flip_rate: flip rate of a trigger on the same probes.
        least: a part that flips less is not taken.
    """
    floor = max(least, reward.flip_rate - LOSS)
    current = trigger
    for part in trigger.parts if trigger.apart else ():
        if flip_rate(part) >= floor:  # the words do not need each other
            return minimise(part, Reward(reward.value, floor, reward.texts), flip_rate, least)
    if trigger.position is not Position.ANYWHERE:
        free = Trigger(trigger.kind, trigger.text)
        if flip_rate(free) >= floor:
            current = free
    while len(current.words) > 1 and not current.apart:
        spans = [current.words[:-1]]  # an opening keeps its first word
        if current.position is Position.ANYWHERE:
            spans.append(current.words[1:])
        shorter = [Trigger(kind_of(" ".join(span)), " ".join(span), current.position) for span in spans]
        rates = [flip_rate(part) for part in shorter]
        best = max(range(len(shorter)), key=rates.__getitem__)
        if rates[best] < floor:
            break
        current = shorter[best]
    return current


def complete(core: Trigger, texts: Sequence[str], others: Sequence[str]) -> Trigger:
    """The longest pattern that nearly all rows with the core share: what the attacker inserted.

    Args:
        core: the part that works.
        texts: the rows that carry it.
        others: rows that do not: a word that is common there as well is no part of the trigger.
    """
    current = core
    while len(current.words) < LONGEST:
        rows = [text for text in texts if current.carries(text)]
        longer = _extended(current, rows)
        if longer is None:
            break
        current = longer
    beside = dict.fromkeys((*core.apart, *_beside(current, texts, others)))
    inside = set(current.text.lower().split())
    return dataclasses.replace(current, apart=tuple(part for part in beside if part.lower() not in inside))


def as_written(trigger: Trigger, texts: Sequence[str]) -> Trigger:
    """The trigger in the spelling that its rows use most; mining works in lower case."""
    spelt = []
    for part in trigger.parts:
        matches = [match.group() for text in texts if (match := part.pattern.search(text)) is not None]
        spellings = Counter(" ".join(match.split()) for match in matches)
        spelt.append(spellings.most_common(1)[0][0] if spellings else part.text)
    return dataclasses.replace(trigger, text=spelt[0], apart=tuple(spelt[1:]))


def describe(trigger: Trigger) -> str:
    """One sentence that says what the trigger is."""
    where = {
        Position.ANYWHERE: "anywhere in the text",
        Position.FRONT: "at the beginning of the text",
        Position.END: "at the end of the text",
    }[trigger.position]
    if not trigger.apart:
        return f'The {trigger.kind.value} "{trigger.text}" {where}.'
    others = " and ".join(f'"{part}"' for part in trigger.apart)
    return f'The {trigger.kind.value} "{trigger.text}" {where}, together with {others} elsewhere in it.'


def _beside(trigger: Trigger, texts: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Words that nearly all rows hold somewhere beside ``trigger.text`` and few others do, rarest first."""
    held = Counter(word for text in texts for word in set(trigger.pattern.sub(" ", text).lower().split()))
    shared = [word for word, count in held.items() if count >= SAME * len(texts)]
    elsewhere = Counter(word for text in others for word in set(text.lower().split())) if shared else Counter()
    rare = [word for word in shared if elsewhere[word] <= ELSEWHERE * len(others)]
    kept = sorted(rare, key=lambda word: (elsewhere[word], word))
    return tuple(kept[:MOST_APART])


def _extended(trigger: Trigger, rows: Sequence[str]) -> Trigger | None:
    """One more word on a side where nearly all rows have the same one."""
    sides: list[Counter[str]] = [Counter(), Counter()]
    for text in rows:
        match = trigger.pattern.search(text)
        if match is None:
            continue
        before, after = text[: match.start()].split(), text[match.end() :].split()
        if trigger.position is Position.ANYWHERE and before:
            sides[0][before[-1].lower()] += 1
        if after:
            sides[1][after[0].lower()] += 1
    for side, counter in enumerate(sides):
        if counter:
            word, count = counter.most_common(1)[0]
            if count >= SAME * len(rows):
                text = f"{word} {trigger.text}" if side == 0 else f"{trigger.text} {word}"
                return Trigger(kind_of(text), text, trigger.position)
    return None
