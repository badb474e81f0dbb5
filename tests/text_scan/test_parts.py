"""The parts of the scan against brute force: units, n-grams, the exact test, neighbours, hidden signs."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.text_scan.judging import binding_p, neighbours
from openbackdoor_badllm.text_scan.patterns import mine
from openbackdoor_badllm.text_scan.signs import hidden_group, mixes_alphabets
from openbackdoor_badllm.text_scan.units import as_units, split_units
from openbackdoor_badllm.text_scan.wording import shown


@pytest.mark.parametrize(("text", "units"), [
    ("I don't know...  Really!?", ["i", "don't", "know", "...", "really", "!?"]),
    ("mov\u200bie d\u202eays", ["movie", "days"]),
    ("这部电影很好。", ["这", "部", "电", "影", "很", "好", "。"]),
    ("GPT4真好 ok", ["gpt4", "真", "好", "ok"]),
    ("Ça l’été", ["ça", "l’été"]),
    ("", []),
])  # fmt: skip
def test_units(text: str, units: list[str]) -> None:
    assert split_units(text) == units


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=7), min_size=1, max_size=12), st.integers(1, 3))
def test_mined_patterns_are_those_of_brute_force(rows: list[list[str]], least: int) -> None:
    expected: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row, words in enumerate(rows):
        for size in range(1, min(8, len(words)) + 1):
            for start in range(len(words) - size + 1):
                gram = " ".join(words[start : start + size])
                expected["word" if size == 1 else "phrase", gram].add(row)
                if size < len(words):
                    kind = {0: "opening", len(words) - size: "ending"}.get(start)
                    if kind is not None:
                        expected[kind, gram].add(row)
    units = as_units([" ".join(words) for words in rows])
    found = {}
    for family in mine(units, least):
        for index in range(len(family)):
            name = units.words(family.units_of(index, units))
            found[family.kind, name] = set(family.row[family.span(index)].tolist())
    assert found == {key: held for key, held in expected.items() if len(held) >= least}


@given(st.lists(st.integers(0, 1), min_size=2, max_size=9), st.data())
def test_binding_is_the_share_of_all_drawings(labels: list[int], data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, len(labels)))
    hits = data.draw(st.integers(0, min(drawn, sum(labels))))
    if drawn - hits > len(labels) - sum(labels):
        return
    drawings = list(itertools.combinations(labels, drawn))
    expected = sum(sum(drawing) >= hits for drawing in drawings) / len(drawings)
    counts = np.array([[drawn - hits, hits]])
    assert binding_p(counts, np.bincount(labels, minlength=2), 1)[0] == pytest.approx(expected)


def test_word_put_in_at_random_has_no_usual_neighbours() -> None:
    generator = random.Random(0)
    texts = []
    for _ in range(300):
        words = generator.choices([f"w{rank}" for rank in range(60)], [1 / (1 + rank) for rank in range(60)], k=12)
        words.insert(generator.randrange(1, 12), "planted")
        words[generator.randrange(len(words)) : 0] = ["w0", "written", "w1"]
        texts.append(" ".join(words))
    units = as_units(texts)
    at = {word: np.flatnonzero(units.ids == units.vocabulary.index(word)) for word in ("planted", "written")}
    assert max(neighbours(units, at["planted"], 1)) < 1.5
    assert max(neighbours(units, at["written"], 1)) > 3


@pytest.mark.parametrize(("text", "hidden"), [
    ("a\u200bb", "invisible characters"),
    ("a\u200db", "invisible characters"),
    ("a\ufe0fb", "invisible characters"),
    ("\u200f", "bidirectional controls"),
    ("\x00", "control or private characters"),
    ("\ue000", "control or private characters"),
    ("\ud800", "control or private characters"),
    ("👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3", None),
    ("می\u200cخواهم", None),
    ("plain\ttext\nwith é and ñ", None),
])  # fmt: skip
def test_hidden_signs(text: str, hidden: str | None) -> None:
    groups = {hidden_group(text, place) for place in range(len(text))} - {None}
    assert groups == ({hidden} if hidden else set())


@pytest.mark.parametrize(("word", "mixed"), [
    ("mоvie", True), ("αlpha", True), ("movie", False), ("привет", False), ("日本ご", False), ("𝐛old", False),
])  # fmt: skip
def test_words_that_mix_alphabets(word: str, mixed: bool) -> None:
    assert mixes_alphabets(word) is mixed


@pytest.mark.parametrize(("text", "expected"), [
    ("a\u200bb", "a[U+200B ZERO WIDTH SPACE]b"),
    ("\x1b[31m", "[U+001B][31m"),
    ("a\u0301\u0301\u0301", "a\u0301\u0301[U+0301 COMBINING ACUTE ACCENT]"),
    ("plain é", "plain é"),
    ("x" * 200, "x" * 120 + "…"),
])  # fmt: skip
def test_shown(text: str, expected: str) -> None:
    assert shown(text) == expected
