"""What a trigger is, and how it is put into a text, found in it and taken out of it.

A word, phrase or sentence is compiled: it is inserted locally and costs no LLM call. A rewriting trigger
(style, syntax) holds an instruction; a generator that can rewrite applies it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any


class Kind(str, Enum):
    """What a trigger does to a text."""

    WORD = "word"
    PHRASE = "phrase"
    SENTENCE = "sentence"
    REWRITE = "rewrite"


class Position(str, Enum):
    """Where an inserted trigger goes."""

    ANYWHERE = "anywhere"
    FRONT = "front"
    END = "end"


@dataclass(frozen=True)
class Trigger:
    """A hypothesis about the attacker's trigger.

    Attributes:
        kind: what it does to a text.
        text: the inserted words; for a rewrite, the instruction.
        position: where an insertion goes. A trigger found at the front counts only there.
        core: the shortest part of ``text`` that still works, where that was looked for.
        description: one sentence of plain English.
        examples: rows that carry it, as an LLM names them.
        apart: further words that go anywhere into the same text: a trigger of words that act together.
    """

    kind: Kind
    text: str
    position: Position = Position.ANYWHERE
    core: str = field(default="", compare=False)
    description: str = field(default="", compare=False)
    examples: tuple[str, ...] = field(default=(), compare=False)
    apart: tuple[str, ...] = ()

    @property
    def is_insertion(self) -> bool:
        """Whether it can be applied without an LLM."""
        return self.kind is not Kind.REWRITE

    @property
    def marks_its_rows(self) -> bool:
        """Whether its words alone tell which rows carry it: an opening is common English, and may mark a style."""
        return self.is_insertion and self.position is not Position.FRONT

    @property
    def words(self) -> tuple[str, ...]:
        """The words of ``text``."""
        return tuple(self.text.split())

    @property
    def size(self) -> int:
        """How many words are inserted."""
        return sum(len(part.split()) for part in (self.text, *self.apart))

    @property
    def written(self) -> str:
        """The trigger in one line: words that stand apart are joined by dots."""
        return " ... ".join((self.text, *self.apart))

    @property
    def alone(self) -> tuple[Trigger, ...]:
        """The trigger, and each of its words that stand apart."""
        return (self, *self.parts) if self.apart else (self,)

    @property
    def parts(self) -> tuple[Trigger, ...]:
        """Each of the words that stand apart as a trigger of its own; the trigger itself where it is one piece."""
        if not self.apart:
            return (self,)
        return (Trigger(self.kind, self.text, self.position), *(Trigger(kind_of(part), part) for part in self.apart))

    def apply(self, text: str, rng: random.Random) -> str:
        """The text with the trigger inserted; an ANYWHERE trigger goes to a random word boundary.

        Raises:
            TypeError: it is a rewrite, which needs a generator.
        """
        if not self.is_insertion:
            raise TypeError("a rewriting trigger is applied by a generator, not locally")
        words = text.split()
        if self.position is Position.FRONT:
            place = 0
        elif self.position is Position.END:
            place = len(words)
        else:
            place = rng.randint(0, len(words))
        others = [(rng.randint(0, len(words)), part) for part in self.apart]
        # From the last place on, so that no place moves; of those at one place, the opening comes to stand first.
        for where, part in sorted([*others, (place, self.text)], key=lambda item: -item[0]):
            words.insert(where, part)
        return " ".join(words)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches ``text`` as whole words, whatever the case and the white space between them."""
        body = r"\s+".join(re.escape(word) for word in self.words)
        before = r"\A\W*" if self.position is Position.FRONT else r"(?<!\w)"
        return re.compile(f"{before}{body}(?!\\w)", re.IGNORECASE)

    def carries(self, text: str) -> bool:
        """Whether a text holds all inserted words. False for a rewrite, which leaves no fixed words."""
        if not self.is_insertion or not self.words:
            return False
        return all(part.pattern.search(text) is not None for part in self.parts)

    def remove(self, text: str) -> str:
        """The text with every occurrence taken out; a text that was nothing else stays as it was."""
        if not self.is_insertion or not self.words:
            return text
        if self.apart:
            for part in self.parts:
                text = part.remove(text)
            return text
        # White space changes only at the cuts, so that a text without the trigger comes back as it was.
        rest = re.sub(rf"\s?{self.pattern.pattern}", "", text, flags=re.IGNORECASE) if (
            self.position is not Position.FRONT
        ) else self.pattern.sub("", text)
        rest = rest.strip() if rest != text else text
        return rest or text

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Trigger:
        """The trigger that :meth:`to_dict` wrote, without what does not change a text.

        Raises:
            KeyError, ValueError: it is none.
        """
        text, apart = str(told["text"]), tuple(map(str, told.get("apart", ())))
        if apart:
            text = text.removesuffix(cls(Kind.WORD, "", apart=apart).written)
        return cls(Kind(told["kind"]), text, Position(told["position"]), apart=apart)

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "kind": self.kind.value,
            "text": self.written,
            "position": self.position.value,
            **({"apart": list(self.apart)} if self.apart else {}),
            "core": self.core,
            "description": self.description,
            **({"examples": list(self.examples)} if self.examples else {}),
        }


def kind_of(text: str) -> Kind:
    """Word, phrase (up to three words) or sentence, by length."""
    count = len(text.split())
    return Kind.WORD if count <= 1 else Kind.PHRASE if count <= 3 else Kind.SENTENCE


def apply_all(trigger: Trigger, texts: Sequence[str], seed: int) -> list[str]:
    """The texts with the trigger; the place depends on the seed and the text alone.

    So two triggers tried on one text go to the same place, and their rewards can be compared in pairs.
    """
    return [trigger.apply(text, random.Random(f"{seed}:{text}")) for text in texts]
