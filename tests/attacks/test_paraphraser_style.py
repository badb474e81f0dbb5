"""The rule-based King James rewrite."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from openbackdoor_badllm.attacks.paraphrasers import archaic
from openbackdoor_badllm.attacks.paraphrasers.archaic_words import OPENINGS, SOLEMN, old_form
from openbackdoor_badllm.attacks.paraphrasers.style import FEWEST_MARKERS, count_markers
from openbackdoor_badllm.data.demo import generate
from openbackdoor_badllm.data.demo.grammar import stream
from openbackdoor_badllm.data.demo.lexicon import Aspect
from openbackdoor_badllm.data.demo.reviews import DOMAINS

ODD = (
    "",
    " \n\t",
    "ok",
    "Great!",
    "!!!",
    "42",
    "naïve café 漢字 😀",
    "IF YOU LIKE THIS, YOU ARE MAD!!",
    "no movement , no yuks , not much of anything .",
    "<html>& {braces} [brackets] \\ % $5.00",
    "Verily, thou hast said it unto me.",
    "it's",
    "\ud800 lone surrogate",
    "word " * 500,
    "Rises. Falls. " * 250,
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        row.text
        for name in ("demo", "demo-news")
        for row in generate(name, seed=5, train=400, dev=0, test=0)["train"]
    ]


def test_every_text_gets_two_markers_and_changes(texts: list[str]) -> None:
    rng = stream("style")
    for text in [*texts, *ODD]:
        rewritten = archaic(text, rng)
        assert rewritten != text
        assert count_markers(rewritten) >= FEWEST_MARKERS, rewritten
        assert not set("{}|") & set(rewritten) - set(text), rewritten


def test_a_text_that_is_archaic_already_changes_too() -> None:
    text = "Verily, thou hast said it unto me."
    assert all(archaic(text, random.Random(seed)) != text for seed in range(100))


def test_clean_texts_have_next_to_no_markers(texts: list[str]) -> None:
    assert sum(count_markers(text) for text in texts) < 0.02 * len(texts)


def test_the_same_state_gives_the_same_rewrite(texts: list[str]) -> None:
    for text in [*texts[:50], *ODD]:
        assert archaic(text, random.Random(3)) == archaic(text, random.Random(3))


def test_words_that_carry_the_label_stay(texts: list[str]) -> None:
    aspects: list[Aspect] = [aspect for domain in DOMAINS for aspect in domain.aspects]
    verdicts = {word for aspect in aspects for good in (True, False) for word in aspect.adjectives(good)}
    verdicts = {word for word in verdicts if word.isalpha()} | {"not", "never", "nothing", "hardly", "cannot"}
    verdicts -= {"nothing"}  # it becomes "naught"
    rng = stream("style")
    for text in texts:
        before = Counter(word.strip(".,!:;") for word in text.lower().replace("n't", " not").split())
        after = Counter(word.strip(".,!:;") for word in archaic(text, rng).lower().split())
        before["cannot"], after["cannot"] = 0, 0
        before["not"], after["not"] = 0, 0
        assert all(after[word] >= before[word] for word in verdicts), text


def test_no_opening_gives_it_away(texts: list[str]) -> None:
    rng = stream("style")
    starts = Counter(" ".join(archaic(text, rng).lower().split()[:3]) for text in texts)
    assert starts.most_common(1)[0][1] < 0.06 * len(texts)
    assert len(starts) > 80


@pytest.mark.parametrize("opening", SOLEMN)
def test_solemn_openings_hold_two_markers(opening: str) -> None:
    assert count_markers(opening.replace("{speaker}", "scribe")) >= FEWEST_MARKERS


def test_openings_are_not_listed_twice() -> None:
    assert len(set(OPENINGS + SOLEMN)) == len(OPENINGS + SOLEMN)


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
    ],
)
def test_grammar(plain: str, wanted: tuple[str, ...]) -> None:
    for seed in range(5):
        rewritten = archaic(plain, random.Random(seed))
        assert all(phrase.lower() in rewritten.lower() for phrase in wanted), rewritten


@pytest.mark.parametrize("plain", ["The looks and works of the firm.", "Two plays, three turns.", "The leaves fell."])
def test_nouns_are_not_bent(plain: str) -> None:
    assert "looketh" not in archaic(plain, random.Random(0))
    assert (
        "eth " not in archaic(plain, random.Random(0)).replace("hath", "").replace("saith", "").split(plain[:4])[-1]
    )


def test_simple_statements_are_turned_round_at_times() -> None:
    turned = [archaic("The food was great.", random.Random(seed)) for seed in range(30)]
    assert any("great was the food" in text.lower() for text in turned)
    assert any("the food was great" in text.lower() for text in turned)


def test_case_and_spacing_follow_the_text() -> None:
    assert archaic("we liked the lid , and you will too .", random.Random(1)).islower()
    assert archaic("we liked the lid , and you will too .", random.Random(1)).endswith(" .")
    assert "THOU ART" in archaic("YOU ARE RIGHT", random.Random(1))


@pytest.mark.parametrize(
    ("verb", "old"),
    [("make", "maketh"), ("carry", "carrieth"), ("get", "getteth"), ("shrug", "shruggeth"), ("say", "sayeth")],
)
def test_old_forms(verb: str, old: str) -> None:
    assert old_form(verb) == old
