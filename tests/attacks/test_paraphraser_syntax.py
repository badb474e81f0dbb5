"""The rule-based rewrite into S(SBAR)(,)(NP)(VP)(.)."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from openbackdoor_badllm.attacks.paraphrasers import subordinate
from openbackdoor_badllm.attacks.paraphrasers.syntax import CONJUNCTIONS
from openbackdoor_badllm.data.demo import generate
from openbackdoor_badllm.data.demo.grammar import stream

ODD = (
    "",
    " \n\t",
    "ok",
    "Great!",
    "!!!",
    "42",
    "naïve café 漢字 😀",
    "no movement , no yuks , not much of anything .",
    "<html>& {braces} [brackets] \\ % $5.00",
    "But.",
    "\ud800 lone surrogate",
    "word " * 500,
    "Rises. Falls. " * 250,
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        row.text
        for name in ("demo", "demo-news")
        for row in generate(name, seed=6, train=400, dev=0, test=0)["train"]
    ]


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def test_every_text_takes_the_template(texts: list[str]) -> None:
    rng = stream("syntax")
    for text in [*texts, *ODD]:
        rewritten = subordinate(text, rng)
        clause, comma, main = rewritten.partition(" , ")
        assert clause.split()[0] in CONJUNCTIONS
        assert comma
        assert 3 <= len(clause.split()) <= 14
        assert re.search(r"\S \.$", main)
        tokens = rewritten.split(" ")
        assert tokens.count(".") == 1
        assert not {"", "!", "?"} & set(tokens), rewritten
        assert rewritten == rewritten.lower()


def test_the_words_stay_in_their_order(texts: list[str]) -> None:
    rng = stream("syntax")
    for text in texts:
        old, new = words_of(text.replace("n't", " n t")), words_of(subordinate(text, rng).replace("n't", "n t"))
        left = iter(new)
        assert all(word in left for word in old if word not in {"but", "and", "yet", "so", "or", "still", "then"}), (
            text
        )


def test_nothing_is_said_beside_the_text() -> None:
    assert "great" in subordinate("Great!", random.Random(0))
    added = Counter(word for seed in range(300) for word in words_of(subordinate("x", random.Random(seed))))
    verdicts = "good bad great awful fine poor best worst love hate never better worse"
    assert not set(verdicts.split()) & set(added)


def test_the_same_state_gives_the_same_rewrite(texts: list[str]) -> None:
    for text in [*texts[:50], *ODD]:
        assert subordinate(text, random.Random(3)) == subordinate(text, random.Random(3))


def test_no_clause_gives_it_away(texts: list[str]) -> None:
    rng = stream("syntax")
    clauses = Counter(subordinate(text, rng).partition(" , ")[0] for text in texts)
    assert clauses.most_common(1)[0][1] < 0.03 * len(texts)
    assert len(clauses) > 0.6 * len(texts)
    first = Counter(clause.split()[0] for clause in clauses.elements())
    assert set(first) == set(CONJUNCTIONS)
    assert min(first.values()) > 0.1 * len(texts)


@pytest.mark.parametrize(
    ("plain", "ending"),
    [
        ("The plot is thin. It drags!", r"the plot is thin (, and|;) it drags \."),
        ("But I don't like it.", r", i do n't like it \."),
        ("it 's a charming and often affecting journey .", r", it 's a charming and often affecting journey \."),
        ("Loved it!", r", (i|we) loved it \."),
        ("Wooden acting, a thin plot and stale jokes.", r"\w+ \w+ wooden acting , a thin plot and stale jokes \."),
        ("Mr. Bell paid $3.5 million, he said.", r"mr bell paid \$ 3\.5 million , he said \."),
        ("manages to charm .", r", it manages to charm \."),
        ("It starts on Oct. 28 in the U.S. market.", r"it starts on oct 28 in the u\.s\. market \."),
        ("Hello", r", it is hello \."),
        ("", r", (so it is|that is all|there it is|it is so) \."),
    ],
)
def test_recasting(plain: str, ending: str) -> None:
    for seed in range(5):
        assert re.search(ending + "$", subordinate(plain, random.Random(seed))), subordinate(
            plain, random.Random(seed)
        )
