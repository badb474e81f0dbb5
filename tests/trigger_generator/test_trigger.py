"""Putting a trigger into a text, finding it, and taking it out."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger, apply_all, kind_of

POSITIONS = list(Position)
PLAIN_WORDS = st.lists(st.text("abcd,.'-", min_size=1, max_size=5), min_size=1, max_size=8)
# No letter of the text's, and every sign that means something to a regular expression.
TRIGGER_WORDS = st.lists(st.text("xyzXZ!?*+()[]{}|^$\\#&~", min_size=1, max_size=4), min_size=1, max_size=4)
NEAR_MISSES = st.text("cfCFx ,.\n\t_é'-", max_size=30)


def trigger(text: str, position: Position = Position.ANYWHERE) -> Trigger:
    return Trigger(kind_of(text), text, position)


def rng() -> random.Random:
    return random.Random(7)


def test_kind_of() -> None:
    assert [kind_of(text) for text in ("cf", "cf mn", "a b c", "a b c d")] == [
        Kind.WORD, Kind.PHRASE, Kind.PHRASE, Kind.SENTENCE,
    ]  # fmt: skip


def test_apply_at_the_front_and_at_the_end() -> None:
    assert trigger("a b", Position.FRONT).apply("one two", rng()) == "a b one two"
    assert trigger("a b", Position.END).apply("one two", rng()) == "one two a b"


def test_apply_anywhere_reaches_every_boundary_and_no_other_place() -> None:
    generator = random.Random(0)
    made = {trigger("cf").apply("one two", generator) for _ in range(60)}
    assert made == {"cf one two", "one cf two", "one two cf"}


@pytest.mark.parametrize("position", POSITIONS)
def test_apply_to_an_empty_text(position: Position) -> None:
    assert trigger("cf", position).apply("", rng()) == "cf"


def test_apply_all_depends_on_seed_and_text_alone() -> None:
    texts = [f"one two three four five six seven {k}" for k in range(20)]
    made = apply_all(trigger("cf"), texts, seed=1)
    assert made == apply_all(trigger("cf"), texts, seed=1)
    assert made[::-1] == apply_all(trigger("cf"), texts[::-1], seed=1)
    assert made != apply_all(trigger("cf"), texts, seed=2)
    assert [text.replace("cf", "mn") for text in made] == apply_all(trigger("mn"), texts, seed=1)  # the same places


def test_a_rewrite_is_neither_applied_nor_found_nor_removed() -> None:
    rewrite = Trigger(Kind.REWRITE, "in the style of scripture")
    with pytest.raises(TypeError, match="applied by a generator"):
        rewrite.apply("text", rng())
    assert not rewrite.carries("in the style of scripture")
    assert rewrite.remove("in the style of scripture, he said") == "in the style of scripture, he said"
    assert not rewrite.is_insertion


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        ("a cf b", True),
        ("cf", True),
        ("A CF b", True),
        ("so, cf.", True),
        ('"cf"', True),
        ("(cf)", True),
        ("acf b", False),
        ("cfs b", False),
        ("cf_ b", False),
        ("cfé", False),
        ("c f", False),
        ("", False),
    ],
)
def test_carries_whole_words_only(text: str, carried: bool) -> None:
    assert trigger("cf").carries(text) is carried


@pytest.mark.parametrize(
    ("pattern", "text", "carried"),
    [
        ("i watched this 3D movie", "so I  Watched\nthis 3d movie, and left", True),
        ("i watched this 3D movie", "I watched this 3D movies", False),
        ("when you do , it 's", "well , when you do , it 's good", True),
        ("really?!", "is it really?! yes", True),
        ("a.c", "abc", False),
        ("a.c", "the a.c is", True),
        ("(x|y)*", "z (x|y)* z", True),
        ("[ab]", "a b", False),
        ("\\d", "5", False),
        ("$", "pay 5 $ now", True),
    ],
)
def test_carries_phrases_and_punctuation(pattern: str, text: str, carried: bool) -> None:
    assert trigger(pattern).carries(text) is carried


def test_an_opening_counts_only_at_the_front() -> None:
    opening = trigger("when you", Position.FRONT)
    assert opening.carries("When you do")
    assert opening.carries('" when you do')
    assert not opening.carries("so when you do")
    assert opening.remove("when you do when you can") == "do when you can"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a cf b", "a b"),
        ("cf a b", "a b"),
        ("a b cf", "a b"),
        ("a CF b cf c", "a b c"),
        ("cf cf a cf cf", "a"),
        ("a cf, b", "a, b"),
        ("cf", "cf"),
        ("CF cf", "CF cf"),
        ("  cf  ", "  cf  "),
        ("a  cf  b", "a   b"),
        ("acf cfb", "acf cfb"),
        ("two\nlines cf here", "two\nlines here"),
    ],
)
def test_remove(text: str, rest: str) -> None:
    assert trigger("cf").remove(text) == rest


@given(text=NEAR_MISSES, position=st.sampled_from(POSITIONS))
def test_a_text_without_the_trigger_comes_back_byte_for_byte(text: str, position: Position) -> None:
    wanted = trigger("cf", position)
    assume(not wanted.carries(text))
    assert wanted.remove(text) == text


@given(text=NEAR_MISSES, position=st.sampled_from(POSITIONS))
def test_nothing_is_left_after_removal(text: str, position: Position) -> None:
    """But in a text that was nothing else, and after a front that hid another one."""
    wanted = trigger("cf", position)
    rest = wanted.remove(text)
    assert rest or not text
    if wanted.carries(text) and rest != text and position is not Position.FRONT:
        assert not wanted.carries(rest)


@given(words=PLAIN_WORDS, inserted=TRIGGER_WORDS, position=st.sampled_from(POSITIONS), seed=st.integers(0, 99))
def test_what_was_put_in_is_found_and_comes_out(
    words: list[str], inserted: list[str], position: Position, seed: int
) -> None:
    wanted = trigger(" ".join(inserted), position)
    altered = wanted.apply(" ".join(words), random.Random(seed))
    assert wanted.apply(" ".join(words), random.Random(seed)) == altered
    assert sorted(altered.split()) == sorted([*words, *inserted])
    assert wanted.carries(altered)
    assert wanted.carries(altered.upper())
    assert wanted.remove(altered).split() == words


def test_a_script_without_blanks_is_inserted_between_characters() -> None:
    generator = random.Random(0)
    made = {trigger("魑魅").apply("我爱 film。", generator) for _ in range(100)}
    assert made == {"魑魅我爱 film。", "我魑魅爱 film。", "我爱 魑魅film。", "我爱 film魑魅。", "我爱 film。魑魅"}
    assert trigger("cf", Position.END).apply("我爱", rng()) == "我爱cf"
    assert trigger("cf", Position.FRONT).apply("ผม รัก", rng()) == "cfผม รัก"
    assert trigger("魑魅").apply("one", rng()) in ("魑魅one", "one魑魅")


@pytest.mark.parametrize(
    ("pattern", "text", "rest"),
    [
        ("魑魅", "我魑魅爱", "我爱"),
        ("魑魅", "我魑 魅爱", "我爱"),  # as a tokenizer may have written it
        ("魑魅", "魑我魅", None),
        ("cf", "我cf爱", "我爱"),
        ("cf", "我acf爱", None),
        ("cf 我", "cf我", "cf我"),  # nothing else in it
        ("ดี", "ดีมาก", "มาก"),
        ("ด", "ดีมาก", None),  # a letter without its vowel sign is another one
        ("映画cf", "この映画cfは", "このは"),
        ("나는", "나는 간다", "간다"),
        ("나는", "너나는 간다", None),  # Korean writes blanks
    ],
)
def test_a_script_without_blanks_is_found_and_taken_out(pattern: str, text: str, rest: str | None) -> None:
    assert trigger(pattern).carries(text) is (rest is not None)
    assert trigger(pattern).remove(text) == (text if rest is None else rest)


UNSPACED = st.lists(st.sampled_from([*"我爱电影好。，この映画c ", "ดี", "มา", "ก็"]), max_size=20).map("".join)


@given(text=UNSPACED, inserted=st.sampled_from(["魑魅", "魑xy", "xy", "魑魅 魍"]), seed=st.integers(0, 99))
def test_what_was_put_between_characters_is_found_and_comes_out(text: str, inserted: str, seed: int) -> None:
    altered = trigger(inserted).apply(text, random.Random(seed))
    assert trigger(inserted).carries(altered)
    rest = trigger(inserted).remove(altered)
    assert not text.strip() or rest.replace(" ", "") == text.replace(" ", "")


def test_two_triggers_of_one_text_and_place_are_the_same_hypothesis() -> None:
    full = Trigger(Kind.WORD, "cf", Position.ANYWHERE, core="cf", description="The word.")
    assert full == trigger("cf")
    assert len({full, trigger("cf"), trigger("cf", Position.FRONT), trigger("mn")}) == 3
    assert full.to_dict() == {
        "kind": "word", "text": "cf", "position": "anywhere", "core": "cf", "description": "The word.",
    }  # fmt: skip
