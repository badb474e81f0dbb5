"""The generated corpora: stable, balanced, distinct, and neither trivial nor hopeless."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from openbackdoor_badllm.data.demo import CLASSES, generate
from openbackdoor_badllm.data.demo.grammar import (
    Slots,
    pick_many,
    pick_weighted,
    sentence_case,
    split_sentences,
    stream,
    with_article,
)
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row, fingerprint

NAMES = ("demo", "demo-news")
# Whoever changes a lexicon changes the rows: pin them anew, and re-run what was measured on them.
PINNED = {
    "demo": "f4ed347ba6353395e5d5e77154faa61de77013af782349af945cc56ff3830721",
    "demo-news": "6059005c53f5c9ff3b6be8a03a4a3a7a2d74a67bb2a757cf14537437cbcccde3",
}


def sample(name: str) -> str:
    splits = generate(name, train=40, dev=10, test=10)
    return fingerprint([*splits["train"], *splits["dev"], *splits["test"]])


@pytest.fixture(scope="module", params=NAMES)
def corpus(request: pytest.FixtureRequest) -> tuple[str, dict[str, list[Row]]]:
    return request.param, generate(request.param, train=3000, dev=300, test=1000)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_that_were_measured(name: str) -> None:
    assert sample(name) == PINNED[name]


@pytest.mark.slow
def test_rows_do_not_hang_on_the_hash_seed() -> None:
    code = "from test_demo_corpus import NAMES, sample; print({name: sample(name) for name in NAMES})"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(PINNED)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_splits_are_independent(name: str) -> None:
    small = generate(name, train=30, dev=20, test=20)
    large = generate(name, train=60, dev=20, test=20)
    assert large["test"] == small["test"]
    assert large["dev"] == small["dev"]
    assert large["train"][:30] == small["train"]
    assert generate(name, seed=1, train=30, dev=0, test=0)["train"] != small["train"]


@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_in_two_splits_even_across_seeds(name: str) -> None:
    train = {row.text.lower() for row in generate(name, seed=1, train=2000, dev=0, test=0)["train"]}
    test = {row.text.lower() for row in generate(name, seed=2, train=0, dev=0, test=1000)["test"]}
    assert not train & test


def test_no_text_comes_twice(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    _, splits = corpus
    texts = [row.text.lower() for rows in splits.values() for row in rows]
    assert len(set(texts)) == len(texts) == 4300


def test_classes_are_balanced_and_clean(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    name, splits = corpus
    for rows in splits.values():
        counts = Counter(row.label for row in rows)
        assert sorted(counts) == list(range(len(CLASSES[name])))
        expected = len(rows) / len(counts)
        assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())
        assert {row.poison_label for row in rows} == {0}


def test_rows_read_like_text(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    _, splits = corpus
    for row in splits["train"]:
        assert 8 <= len(row.text.split()) <= 45
        assert not set("{}[]|~_") & set(row.text), row.text
        assert "  " not in row.text
        assert " ." not in row.text
        assert " a a" not in row.text.replace(" a an", "")
        assert row.text == row.text.lower() or not row.text[:1].islower(), row.text


def test_words_are_many_and_shared(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    _, splits = corpus
    by_label: dict[int, Counter[str]] = {}
    for row in splits["train"]:
        by_label.setdefault(row.label, Counter()).update(row.text.lower().strip(".!").split())
    vocabulary = set().union(*by_label.values())
    assert len(vocabulary) > 1200
    shared = [word for word in vocabulary if all(word in counts for counts in by_label.values())]
    assert len(shared) > 0.25 * len(vocabulary)


def test_a_bag_of_words_does_well_but_not_perfectly(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    sklearn_text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    _, splits = corpus
    train, test = splits["train"][:2000], splits["test"]
    words = sklearn_text.TfidfVectorizer()
    model = linear.LogisticRegression(max_iter=1000)
    model.fit(words.fit_transform([row.text for row in train]), [row.label for row in train])
    accuracy = model.score(words.transform([row.text for row in test]), [row.label for row in test])
    assert 0.70 < accuracy < 0.97


def test_an_unknown_corpus_is_told() -> None:
    with pytest.raises(DataError, match=r"no generated corpus 'sst'.*demo, demo-news"):
        generate("sst")


def test_a_negative_size_is_told() -> None:
    with pytest.raises(DataError, match="'dev' must be 0 or more, not -1"):
        generate("demo", dev=-1)


def test_a_size_of_zero_is_an_empty_split() -> None:
    assert generate("demo", train=0, dev=0, test=0) == {"train": [], "dev": [], "test": []}


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("thin plot", "a thin plot"),
        ("uneven pace", "an uneven pace"),
        ("useful manual", "a useful manual"),
        ("one-note score", "a one-note score"),
        ("honest view", "an honest view"),
        ("unimaginative room", "an unimaginative room"),
        ("uniform row", "a uniform row"),
    ],
)
def test_articles_go_by_sound(phrase: str, expected: str) -> None:
    assert with_article(phrase) == expected


def test_slots_are_bound_once_and_numbered_slots_differ() -> None:
    slots = Slots(stream("test"), {"club": ("Rovers", "Albion")})
    first = slots.fill("{club} beat {club2}")
    assert set(first.split(" beat ")) == {"Rovers", "Albion"}
    assert slots.fill("{club} beat {club2}") == first
    with pytest.raises(KeyError):
        slots.fill("{coach}")


def test_draws_are_without_repetition_and_by_weight() -> None:
    rng = stream("test")
    assert sorted(pick_many(rng, "abcd", 4)) == list("abcd")
    counts = Counter(pick_weighted(rng, [(3, "often"), (1, "seldom"), (0, "never")]) for _ in range(2000))
    assert counts["never"] == 0
    assert 0.70 < counts["often"] / 2000 < 0.80


def test_sentences_split_at_stops_alone() -> None:
    text = 'Mr. A. Bell paid $3.5 million. "Too much!" he said... So it was'
    assert split_sentences(text) == ["Mr. A. Bell paid $3.5 million.", '"Too much!"', "he said...", "So it was"]
    assert split_sentences("  \n") == []
    assert sentence_case('"well," he said') == '"Well," he said'
