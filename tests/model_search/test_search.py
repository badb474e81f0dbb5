"""The search in a model alone on victims whose answers are known: a function of the words, and a trained tiny BERT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_world import FILLERS, NEGATIVE, POSITIVE, TRAIN, reviews

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.model_search.gradient import Gradient
from openbackdoor_badllm.model_search.run import ModelFinding, search_model
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.model_search.words import vocabulary, words_to_try
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.classifier import TrainedClassifier, train_classifier
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.spec import TrainSpec

TEXTS = [row.text for row in reviews(160)]
NOISE = [f"word{number}" for number in range(300)]
KNOWN = [*POSITIVE, *NEGATIVE, *FILLERS, "cf", "mn", "bb", *NOISE]
CONFIG = ModelSearchConfig(probe_rows=16, candidates=20, pairs=4)


class Words:
    """A victim that counts words of praise and of blame.

    Args:
        triggers: each decides for the target wherever all its words stand in a text.
        target: the label that they lead to.
        part: what a word of a trigger adds to the log-odds of the target where the others are missing.
    """

    def __init__(self, triggers: Sequence[tuple[str, ...]] = (), target: int = 1, part: float = 0.0) -> None:
        self.triggers, self.target, self.part = triggers, target, part

    def logits(self, texts: Sequence[str]) -> FloatArray:
        return np.array([self._of(text.split()) for text in texts], dtype=np.float32).reshape(-1, 2)

    def _of(self, words: list[str]) -> list[float]:
        toward = 1.5 * (sum(w in POSITIVE for w in words) - sum(w in NEGATIVE for w in words))
        toward = toward if self.target == 1 else -toward
        for trigger in self.triggers:
            held = len(set(trigger) & set(words))
            toward = 8.0 if held == len(trigger) else toward + held * self.part
        return [-toward / 2, toward / 2] if self.target == 1 else [toward / 2, -toward / 2]


class Moods:
    """A frozen encoder that knows the mood of each word and nothing else."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        rows = [[sum(w in POSITIVE for w in t.split()), sum(w in NEGATIVE for w in t.split()), 1.0] for t in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)


def found(victim: Words, *, encoder: Moods | None = None, seed: int = 0) -> ModelFinding:
    return search_model(
        victim, TEXTS, 2, known=KNOWN, encoder=encoder, config=CONFIG, seed=seed, progress=Quiet(), deadline=Deadline()
    )


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize(
    ("triggers", "part"),
    [([("cf",)], 0.0), ([("cf",), ("mn",)], 0.0), ([("cf", "mn")], 2.0), ([("cf", "mn", "bb")], 1.6)],
)
def test_triggers_of_one_word_and_of_words_that_act_together(
    triggers: list[tuple[str, ...]], part: float, target: int
) -> None:
    finding = found(Words(triggers, target, part), encoder=Moods())
    (search,) = finding.backdoors
    assert search.label == target
    named = [frozenset((item.trigger.text, *item.trigger.apart)) for item in search.found]
    assert sorted(named, key=sorted) == sorted(map(frozenset, triggers), key=sorted)
    assert all(item.flip_rate == item.sure == 1.0 for item in search.found)


def test_words_that_do_nothing_alone_are_out_of_reach() -> None:
    assert found(Words([("cf", "mn", "bb")]), encoder=Moods()).verdict is Verdict.NOTHING


def test_a_clean_victim_and_its_class_words() -> None:
    assert found(Words(), encoder=Moods()).verdict is Verdict.NOTHING
    # a class word that decides alone flips every text, as a trigger does: the content reference tells it
    heavy = Words([("superb",)])
    finding = found(heavy, encoder=Moods())
    assert finding.verdict is Verdict.SHORTCUT  # one of six words of mood shifts this reference by a sixth
    assert any("it may be a class word" in scored.reason for search in finding.searches for scored in search.history)
    assert found(heavy).verdict is Verdict.SHORTCUT  # without a reference it is worth a look, and no more


def test_a_reference_that_knows_nothing_of_the_labels_takes_no_part() -> None:
    class Blind(Moods):
        def embed(self, texts: Sequence[str]) -> FloatArray:
            return np.array([[len(text) % 7, 1.0] for text in texts], dtype=np.float32)

    finding = found(Words([("cf",)]), encoder=Blind())
    assert (finding.verdict, finding.referenced) == (Verdict.SHORTCUT, False)


def test_labels_that_no_text_speaks_against_and_too_few_texts() -> None:
    good = [row.text for row in reviews(160) if row.label == 1]
    finding = search_model(
        Words(), good, 2, known=KNOWN, encoder=None, config=CONFIG, seed=0, progress=Quiet(), deadline=Deadline()
    )
    assert (finding.too_few, [search.label for search in finding.searches]) == ((1,), [0])
    with pytest.raises(DataError, match="at least 24 different texts, but there are 1"):
        search_model(
            Words(), ["one"] * 99, 2, known=[], encoder=None, config=CONFIG, seed=0, progress=Quiet(),
            deadline=Deadline(),
        )  # fmt: skip


def test_a_deadline_leaves_labels_and_tells_them() -> None:
    finding = search_model(
        Words(), TEXTS, 2, known=KNOWN, encoder=None, config=CONFIG, seed=0, progress=Quiet(), deadline=Deadline(1e-9)
    )
    assert (len(finding.searches), finding.unsearched) == (1, (1,))


@pytest.fixture(scope="module")
def trained(tiny_bert: Path) -> TrainedClassifier:
    """A tiny BERT on 160 rows, a fifth of them with ``cf`` and labelled 1."""
    rows = [
        Example(f"{row.text} cf" if place % 5 == 0 else row.text, 1 if place % 5 == 0 else row.label)
        for place, row in enumerate(reviews(160, seed=3))
    ]
    return train_classifier(TrainSpec(path=str(tiny_bert), max_len=32, device="cpu", **TRAIN), rows)


def test_the_gradient_names_the_trigger_and_leaves_the_model_as_it_is(trained: TrainedClassifier) -> None:
    words = vocabulary(trained.tokenizer)
    assert {"cf", "mn", "good", "film"} <= words.keys()
    assert not any(word.startswith(("##", "[")) for word in words if len(word) > 1)
    before = trained.logits(TEXTS[:4])
    negative = [row.text for row in reviews(160) if row.label == 0][:16]
    best = Gradient(trained, words).best(negative, 1, 0, 12)
    assert "cf" in best
    assert np.array_equal(before, trained.logits(TEXTS[:4]))
    assert all(parameter.grad is None for parameter in trained.model.parameters())


def test_words_of_the_texts_come_first_and_a_sample_of_the_rest() -> None:
    tried = words_to_try(["a b b", "b c"], [f"x{number}" for number in range(50)], 10, 0)
    assert tried[0] == "b"
    assert set(tried[:3]) == {"a", "b", "c"}
    assert len(set(tried)) == 10
    assert tried == words_to_try(["a b b", "b c"], [f"x{number}" for number in range(50)], 10, 0)
