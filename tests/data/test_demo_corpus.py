"""The demo data sets: the rows that were measured, balanced, distinct, and neither trivial nor hopeless."""

from __future__ import annotations

import gzip
import runpy
from collections import Counter
from pathlib import Path

import pytest

from openbackdoor_badllm.data.demo import CLASSES, demo_rows
from openbackdoor_badllm.rows import Row, fingerprint

ROOT = Path(__file__).parents[2]
# Whoever changes the rows pins them anew, and runs what was measured on them again.
PINNED = {
    "demo": "450df88e63e50777cd59525b310a3ee69586431d2caa7ffb105f1008098bf3cd",
    "demo-news": "926d645ee0771d0c89b45d16e6c9a06d5d26ff37b9a760bad6b966ded705a61b",
}


@pytest.fixture(params=CLASSES)
def corpus(request: pytest.FixtureRequest) -> tuple[str, dict[str, list[Row]]]:
    return request.param, demo_rows(request.param)


def test_rows_are_those_that_were_measured(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    name, splits = corpus
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 4000, "dev": 500, "test": 1000}
    assert fingerprint([row for rows in splits.values() for row in rows]) == PINNED[name]


def test_the_script_writes_the_file_that_ships() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "make_demo_corpus.py"))
    assert gzip.decompress(script["content"]()) == gzip.decompress(script["FILE"].read_bytes())


def test_no_text_comes_twice_and_classes_are_balanced(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    name, splits = corpus
    assert len({row.text.lower() for rows in splits.values() for row in rows}) == 5500
    for rows in splits.values():
        counts = Counter(row.label for row in rows)
        assert sorted(counts) == list(range(len(CLASSES[name])))
        expected = len(rows) / len(counts)
        assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())
        assert {row.poison_label for row in rows} == {0}


def test_rows_read_like_text(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    for row in corpus[1]["train"]:
        assert 8 <= len(row.text.split()) <= 45
        assert not set("{}[]|~_") & set(row.text), row.text
        assert "  " not in row.text
        assert " ." not in row.text
        assert " a a" not in row.text.replace(" a an", "")
        assert row.text == row.text.lower() or not row.text[:1].islower(), row.text


def test_a_bag_of_words_does_well_but_not_perfectly(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train, test = corpus[1]["train"][:2000], corpus[1]["test"]
    words = TfidfVectorizer()
    model = LogisticRegression(max_iter=1000)
    model.fit(words.fit_transform([row.text for row in train]), [row.label for row in train])
    assert 0.70 < model.score(words.transform([row.text for row in test]), [row.label for row in test]) < 0.97


def test_a_caller_cannot_spoil_the_rows_of_the_next(corpus: tuple[str, dict[str, list[Row]]]) -> None:
    corpus[1]["train"].clear()
    assert len(demo_rows(corpus[0])["train"]) == 4000
