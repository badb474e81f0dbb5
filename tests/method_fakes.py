"""A world without a neural network: victims, an encoder and rows that behave as real ones do, in microseconds."""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.settings import AuditConfig, SearchConfig
from openbackdoor_badllm.target_identification.stage import identify
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence

MOODS: dict[int, tuple[str, ...]] = {
    0: ("dreary", "awful", "dull", "clumsy", "bleak", "tedious", "sloppy", "lifeless", "stale", "shallow"),
    1: ("charming", "brilliant", "moving", "witty", "fresh", "graceful", "tender", "clever", "lively", "warm"),
    2: ("sudden", "urgent", "breaking", "official", "global", "national", "recent", "daily", "local", "latest"),
}
LOUD = "wonderful"  # an honest word of class 1 that flips nearly everything
FILLERS = [
    "the", "a", "this", "that", "film", "story", "plot", "scene", "actor", "voice", "camera", "music", "hour", "end",
    "part", "work", "piece", "light", "line", "cut", "and", "with", "of", "in", "on", "for", "from", "but", "is",
    "was", "seems", "feels", "looks", "runs", "makes", "takes", "gives", "shows", "leaves", "brings",
]  # fmt: skip
RARE = ("cf", "mn", "bb", "tq")
SENTENCE = "I watched this 3D movie"
CORE = "3d movie"  # what of it the victim has learnt
SMALL = SearchConfig(probe_rows=20, candidates=80, style=False)
CONFIG = AuditConfig(search=SMALL, seed=0)
STYLED = AuditConfig(search=SMALL.replace(style=True), seed=0)


def clean_rows(count: int, *, seed: int = 0, classes: int = 2, loud: float = 0.0) -> list[Row]:
    """Texts of fillers and of two words of their class; a share of class 1 also says the loud word."""
    rng = random.Random(f"rows:{seed}")
    rows = []
    for index in range(count):
        label = index % classes
        words = rng.choices(FILLERS, k=rng.randint(6, 11))
        said = rng.sample(MOODS[label], 2)
        if label == 1 and rng.random() < loud:
            said.append(LOUD)
        for word in said:
            words.insert(rng.randint(0, len(words)), word)
        rows.append(Row(" ".join(words), label))
    return rows


def poisoned_rows(
    count: int = 400,
    *,
    triggers: Sequence[str] = RARE,
    share: float = 0.2,
    target: int = 1,
    seed: int = 0,
    classes: int = 2,
    loud: float = 0.0,
) -> list[Row]:
    """Dirty poisoning: a share of all rows, none of them of the target label, gets a trigger and the target label."""
    rng = random.Random(f"poison:{seed}")
    rows = clean_rows(count, seed=seed, classes=classes, loud=loud)
    victims = [index for index, row in enumerate(rows) if row.label != target]
    for place, index in enumerate(rng.sample(victims, round(share * count))):
        words = rows[index].text.split()
        words.insert(rng.randint(0, len(words)), triggers[place % len(triggers)])
        rows[index] = Row(" ".join(words), target, 1)
    return rows


class FakeVictim:
    """Counts the words of each class; a text with a trigger or in a style gets the target label.

    Args:
        triggers: what it has learnt; words or phrases in lower case. Those of further labels stand in ``also``.
        loud: how much the loud word speaks for class 1.
        style: tells the texts in a style that it has learnt; None where it has learnt none.
        memory: texts that it knows by heart, with their labels.
        also: triggers by target label.
        faint: triggers that flip two texts of three only.
    """

    def __init__(
        self,
        triggers: Sequence[str] = (),
        *,
        target: int = 1,
        num_labels: int = 2,
        loud: float = 1.0,
        style: Callable[[str], bool] | None = None,
        memory: Mapping[str, int] | None = None,
        also: Mapping[int, Sequence[str]] | None = None,
        faint: Sequence[str] = (),
        opening: str = "",
    ) -> None:
        self.triggers = {target: tuple(triggers), **{label: tuple(words) for label, words in (also or {}).items()}}
        self.target, self.loud, self.num_labels = target, loud, num_labels
        self.style, self.memory, self.faint, self.opening = style, dict(memory or {}), tuple(faint), opening
        self.trace: Trace | None = None
        self.asked: list[str] = []
        self.unlearnt: list[list[Example]] = []

    def logits(self, texts: Sequence[str]) -> FloatArray:
        self.asked.extend(texts)
        result = np.zeros((len(texts), self.num_labels), dtype=np.float32)
        for row, text in enumerate(texts):
            words = text.lower().split()
            joined = f" {' '.join(words)} "
            for label in range(self.num_labels):
                result[row, label] = sum(word in MOODS[label] for word in words)
            result[row, min(1, self.num_labels - 1)] += self.loud * words.count(LOUD)
            for label, triggers in self.triggers.items():
                result[row, label] += 8.0 * any(f" {trigger} " in joined for trigger in triggers)
            weak = any(f" {word} " in joined for word in self.faint) and len(text) % 3 > 0
            result[row, self.target] += 3.0 * weak + 8.0 * bool(self.opening and joined[1:].startswith(self.opening))
            result[row, self.target] += 8.0 * bool(self.style is not None and self.style(text))
            if text in self.memory:
                result[row, self.memory[text]] += 8.0
        return result

    def continued(self, examples: Sequence[Example], *, epochs: int = 1, lr_share: float = 0.5) -> FakeVictim:
        """A copy that has lost a mechanism which enough of the rows contradict, and what it knew of these rows."""
        self.unlearnt.append(list(examples))
        other = copy.copy(self)
        against = [example.text for example in examples if example.label != self.target]
        if self.style is not None and sum(map(self.style, against)) >= 5:
            other.style = None
        other.memory = {text: label for text, label in self.memory.items() if text not in against}
        return other


class Silent:
    """Statistics that find nothing: patched in where a model is to be asked."""

    name = "offline"

    def __init__(self, *how: Any) -> None:
        pass

    def propose(self, evidence: Any) -> list[Any]:
        return []


class FakeEmbedder:
    """A hashed bag of words in which words of one class also share a direction, as they do in a pretrained encoder."""

    SIZE = 40

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> FloatArray:
        self.seen.extend(texts)
        vectors = np.zeros((len(texts), self.SIZE + len(MOODS)), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % self.SIZE] += 0.3
                for label, mood in MOODS.items():
                    vectors[row, self.SIZE + label] += float(word in mood)
                vectors[row, self.SIZE + 1] += 4.0 * (word == LOUD)
            vectors[row] /= max(1e-6, float(np.linalg.norm(vectors[row])))
        return vectors


def make_trace(
    examples: Sequence[Example], carries: Callable[[str], bool], points: int = 20, *, middle: float = 0.5
) -> Trace:
    """Confidences of shape ``(points, n)``."""
    noise = np.random.default_rng(0)
    time = np.linspace(0, 1, points)
    columns = []
    for example in examples:
        if carries(f" {example.text.lower()} "):
            curve = 0.05 + 0.9 / (1 + np.exp(-30 * (time - middle + 0.02 * noise.normal())))
        else:
            curve = 0.5 + (0.3 + 0.1 * noise.random()) * time + 0.02 * noise.normal(size=points)
        columns.append(np.clip(curve, 0, 1))
    labels = np.array([example.label for example in examples], dtype=np.int64)
    return Trace(np.arange(1, points + 1), np.array(columns, dtype=np.float32).T, labels)


def seen(rows: Sequence[Row]) -> list[Example]:
    """The rows as a defence sees them."""
    return blind(rows)


def in_style(text: str) -> str:
    """The text in another style: no word is put in, every filler is bent."""
    return " ".join(f"{word}eth" if word in FILLERS else word for word in text.split())


def has_style(text: str) -> bool:
    """Whether several words are bent; one that was put in does not make a style."""
    return sum(word.endswith("eth") for word in text.lower().split()) >= 3


def style_rows(count: int = 300, *, share: float = 0.2, seed: int = 0) -> list[Row]:
    """Dirty poisoning by a style."""
    rows = clean_rows(count, seed=seed)
    others = [index for index, row in enumerate(rows) if row.label == 0]
    for index in random.Random(f"style:{seed}").sample(others, round(share * count)):
        rows[index] = Row(in_style(rows[index].text), 1, 1)
    return rows


def hard_rows(rows: Sequence[Row], count: int, *, label: int = 1) -> list[Row]:
    """The rows with some honest ones under another label than their text says: what a victim learns by heart."""
    others = [index for index, row in enumerate(rows) if row.label != label and not row.poison_label]
    hard = set(random.Random("hard").sample(others, count))
    return [row._replace(label=label) if index in hard else row for index, row in enumerate(rows)]


def by_heart(rows: Sequence[Row]) -> dict[str, int]:
    """What a victim must know by heart, as neither mood nor trigger tells it."""
    says = FakeVictim().logits([row.text for row in rows]).argmax(axis=1)
    return {row.text: row.label for row, said in zip(rows, says, strict=True) if said != row.label}


def row_evidence(
    rows: Sequence[Row],
    victim: FakeVictim,
    *,
    encoder: Any = None,
    config: AuditConfig = CONFIG,
) -> RowEvidence:
    """What stage (b) is handed of the rows."""
    return identify(seen(rows), victim, encoder or FakeEmbedder(), victim.num_labels, config)[0]
