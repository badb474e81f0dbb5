"""A world without a neural network: victims, an encoder and rows that behave as real ones do, in microseconds."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from openbackdoor_badllm.rows import Example, Row, blind
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace, TraceRequest
from openbackdoor_badllm.trigger_generator.search import SearchConfig

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
SMALL = SearchConfig(probe_rows=20, candidates=80)


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
    """Counts the words of each class; a text with a trigger gets the target label.

    Args:
        triggers: what it has learnt; words or phrases in lower case.
        loud: how much the loud word speaks for class 1.
    """

    def __init__(
        self, triggers: Sequence[str] = (), *, target: int = 1, num_labels: int = 2, loud: float = 1.0
    ) -> None:
        self.triggers, self.target, self.loud = tuple(triggers), target, loud
        self.num_labels = num_labels
        self.trace: Trace | None = None
        self.asked: list[str] = []

    def logits(self, texts: Sequence[str]) -> FloatArray:
        self.asked.extend(texts)
        result = np.zeros((len(texts), self.num_labels), dtype=np.float32)
        for row, text in enumerate(texts):
            words = text.lower().split()
            joined = f" {' '.join(words)} "
            for label in range(self.num_labels):
                result[row, label] = sum(word in MOODS[label] for word in words)
            result[row, min(1, self.num_labels - 1)] += self.loud * words.count(LOUD)
            if any(f" {trigger} " in joined for trigger in self.triggers):
                result[row, self.target] += 8.0
        return result


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


class FakeTrainer:
    """Gives the victim that training on the rows would: it has learnt the triggers that stand in enough of them.

    The trace is made up: rows with a learnt trigger rise together in the middle, all others slowly from the start.
    """

    def __init__(self, triggers: Sequence[str] = RARE, *, target: int = 1, num_labels: int = 2, **kind: Any) -> None:
        self.triggers, self.target, self.num_labels, self.kind = tuple(triggers), target, num_labels, kind
        self.calls: list[tuple[list[Example], bool, TraceRequest | None]] = []

    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
    ) -> FakeVictim:
        self.calls.append((list(examples), balanced, trace))
        texts = [f" {example.text.lower()} " for example in examples if example.label == self.target]
        learnt = [trigger for trigger in self.triggers if sum(f" {trigger} " in text for text in texts) >= 3]
        victim = FakeVictim(learnt, target=self.target, num_labels=self.num_labels, **self.kind)
        if trace is not None:
            victim.trace = make_trace(trace.examples, lambda text: any(f" {t} " in text for t in learnt), trace.points)
        return victim


class TwoFacedTrainer:
    """Its victims learn the triggers of several attackers, each with a target of his own.

    Args:
        attackers: what each has put in, by its target; the trace shows the rows of the first.
        faint: the targets whose triggers are learnt so far that two texts of three flip.
    """

    def __init__(
        self, attackers: dict[int, Sequence[str]], *, num_labels: int = 2, faint: Sequence[int] = ()
    ) -> None:
        self.trainers = [
            FakeTrainer(triggers, target=target, num_labels=num_labels) for target, triggers in attackers.items()
        ]
        self.faint = faint

    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
    ) -> FakeVictim:
        victims = [trainer(examples, balanced=balanced, trace=trace) for trainer in self.trainers]
        victim = FakeVictim(num_labels=victims[0].num_labels)
        victim.trace = victims[0].trace
        plain = victim.logits

        def logits(texts: Sequence[str]) -> FloatArray:
            result = plain(texts)
            joined = [f" {' '.join(text.lower().split())} " for text in texts]
            for one in victims:
                weak = one.target in self.faint
                for row, text in enumerate(joined):
                    if any(f" {trigger} " in text for trigger in one.triggers) and not (weak and len(text) % 3 == 0):
                        result[row, one.target] += 3.0 if weak else 8.0
            return result

        victim.logits = logits  # type: ignore[method-assign]
        return victim


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


def in_form(text: str) -> str:
    """The text in another form: no word is put in, every filler is bent."""
    return " ".join(f"{word}eth" if word in FILLERS else word for word in text.split())


def has_form(text: str) -> bool:
    """Whether several words are bent; one that was put in does not make a form."""
    return sum(word.endswith("eth") for word in text.lower().split()) >= 3


def form_rows(count: int = 300, *, share: float = 0.2, seed: int = 0) -> list[Row]:
    """Dirty poisoning by a form."""
    rows = clean_rows(count, seed=seed)
    others = [index for index, row in enumerate(rows) if row.label == 0]
    for index in random.Random(f"form:{seed}").sample(others, round(share * count)):
        rows[index] = Row(in_form(rows[index].text), 1, 1)
    return rows


class FormTrainer(FakeTrainer):
    """Its victims learn the form where enough rows of the target label have it, and single words of it as well."""

    def __init__(self, triggers: Sequence[str] = ()) -> None:
        super().__init__(triggers)

    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
    ) -> FakeVictim:
        victim = super().__call__(examples, balanced=balanced, trace=trace)
        if sum(has_form(example.text) for example in examples if example.label == self.target) < 5:
            return victim
        plain = victim.logits

        def logits(texts: Sequence[str]) -> FloatArray:
            result = plain([text.replace("eth", "") for text in texts])
            result[[has_form(text) for text in texts], self.target] += 8.0
            return result

        victim.logits = logits  # type: ignore[method-assign]
        if trace is not None:
            victim.trace = make_trace(trace.examples, has_form, trace.points, middle=0.8)
        return victim
