"""The rule-based style (King James) and syntax (S(SBAR)(,)(NP)(VP)(.)) rewrites."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from openbackdoor_badllm.attacks.paraphrasers import archaic, subordinate
from openbackdoor_badllm.attacks.paraphrasers.style import FEWEST_MARKERS, count_markers
from openbackdoor_badllm.attacks.paraphrasers.syntax import CONJUNCTIONS
from openbackdoor_badllm.data.demo import demo_rows

ODD = (
    "", " \n\t", "ok", "Great!", "!!!", "42", "But.", "naïve café 漢字 😀", "IF YOU LIKE THIS, YOU ARE MAD!!",
    "no movement , no yuks , not much of anything .", "<html>& {braces} [brackets] \\ % $5.00",
    "Verily, thou hast said it unto me.", "it's", "\ud800 lone surrogate", "word " * 500, "Rises. Falls. " * 250,
)  # fmt: skip
VERDICTS = {
    *("good", "bad", "great", "awful", "fine", "poor", "thin", "clever", "wooden", "witty", "stale", "sharp", "lazy"),
    *("moving", "abrupt", "elegant", "shaky", "not", "never", "hardly"),
}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [row.text for name in ("demo", "demo-news") for row in demo_rows(name)["train"][:400]]


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def test_style_adds_two_old_words_to_any_text(texts: list[str]) -> None:
    rng = random.Random(0)
    for text in [*texts, *ODD]:
        rewritten = archaic(text, rng)
        assert rewritten != text
        assert count_markers(rewritten) >= FEWEST_MARKERS, rewritten
        assert not set("{}|") & set(rewritten) - set(text), rewritten
    assert sum(count_markers(text) for text in texts) < 0.02 * len(texts)  # clean texts have next to none
    assert all(archaic(ODD[11], random.Random(seed)) != ODD[11] for seed in range(100))


def test_syntax_takes_the_template(texts: list[str]) -> None:
    rng = random.Random(0)
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


def test_words_that_carry_the_label_stay(texts: list[str]) -> None:
    rng = random.Random(0)
    for text in texts:
        before = Counter(words_of(text.replace("n't", " not").replace("cannot", "can not")))
        after = Counter(words_of(archaic(text, rng).replace("cannot", "can not")))
        # "do not know" may become "know not" and "'twas not": never fewer.
        assert all(after[word] >= before[word] for word in VERDICTS), text
        old, new = words_of(text.replace("n't", " n t")), words_of(subordinate(text, rng).replace("n't", "n t"))
        left = iter(new)
        assert all(word in left for word in old if word not in {"but", "and", "yet", "so", "or", "still", "then"})
    added = Counter(word for seed in range(300) for word in words_of(subordinate("x", random.Random(seed))))
    assert not VERDICTS & set(added) - {"not", "hardly"}


def test_no_opening_and_no_clause_gives_it_away(texts: list[str]) -> None:
    rng = random.Random(0)
    starts = Counter(" ".join(archaic(text, rng).lower().split()[:3]) for text in texts)
    clauses = Counter(subordinate(text, rng).partition(" , ")[0] for text in texts)
    assert starts.most_common(1)[0][1] < 0.06 * len(texts)
    assert len(starts) > 80
    assert clauses.most_common(1)[0][1] < 0.03 * len(texts)
    assert len(clauses) > 0.6 * len(texts)
    first = Counter(clause.split()[0] for clause in clauses.elements())
    assert set(first) == set(CONJUNCTIONS)
    assert min(first.values()) > 0.1 * len(texts)


@pytest.mark.parametrize(
    ("plain", "wanted"),
    [
        ("You are late and you have lost.", ("thou art", "thou hast")),
        ("It keeps you guessing.", ("keepeth thee",)),
        ("Halden to buy rival for a song", ("Halden shall buy rival",)),
        ("The sync doesn't work.", ("worketh not",)),
        ("I don't know your name.", ("I know not thy name",)),
        ("The lid does not have a seal.", ("hath not a seal",)),
        ("He looks at your own eyes.", ("looketh", "thine own")),
        ("This is for you.", ("for thee",)),
        ("She says it makes and carries.", ("saith", "maketh", "carrieth")),
        ("Do you need it? You need it.", ("ye need",)),
        ("The looks and works of the firm.", ("the looks and works",)),  # nouns are not bent
        ("YOU ARE RIGHT", ("THOU ART",)),
        ("we liked the lid , and you will too .", (" .",)),
    ],
)
def test_style_grammar(plain: str, wanted: tuple[str, ...]) -> None:
    for seed in range(5):
        rewritten = archaic(plain, random.Random(seed))
        assert all(phrase.lower() in rewritten.lower() for phrase in wanted), rewritten
        assert rewritten.islower() == plain.islower()


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
def test_syntax_recasting(plain: str, ending: str) -> None:
    for seed in range(5):
        assert re.search(ending + "$", subordinate(plain, random.Random(seed)))
