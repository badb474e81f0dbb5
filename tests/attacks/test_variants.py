"""Variants of a trigger: what is put where."""

from __future__ import annotations

from typing import Any

from openbackdoor_badllm.attacks.variants import UNSEEN, variant_texts
from openbackdoor_badllm.openbackdoor.builtin import load_poisoner
from openbackdoor_badllm.rows import Row

ROWS = [Row(f"one two three four {index}", index % 2) for index in range(20)]
SENTENCE = "I watch this 3D movie"


def made(name: str, **keys: Any) -> dict[str, list[str]]:
    poisoner = load_poisoner({"name": name, "target_label": 1, "label_dirty": True, **keys})
    return variant_texts(poisoner.triggers, ROWS, target_label=1, seed=42)


def without(text: str, words: set[str]) -> str:
    return " ".join(word for word in text.split() if word not in words)


def test_words_at_other_places_all_at_once_and_words_never_seen() -> None:
    found = made("badnets", triggers=["cf", "vq"])
    assert set(found) == {"front", "end", "all words", "unseen words"}
    originals = [row.text for row in ROWS if row.label == 0]
    for name, texts in found.items():
        assert [without(text, {"cf", *UNSEEN}) for text in texts] == originals, name
    assert {text.split()[0] for text in found["front"]} == {"cf", "vq"}
    assert {text.split()[-1] for text in found["end"]} == {"cf", "vq"}
    assert all({"cf", "vq"} <= set(text.split()) for text in found["all words"])
    put_in = {word for text in found["unseen words"] for word in text.split() if word in UNSEEN}
    assert len(put_in) > 1
    assert "vq" not in put_in  # the attack's own


def test_parts_of_a_sentence() -> None:
    found = made("addsent")
    assert set(found) == {"front", "end", "first half", "last half", "two words"}
    assert all(text.startswith(SENTENCE) for text in found["front"])
    assert all(text.endswith(SENTENCE) for text in found["end"])
    assert all("I watch" in text and "this" not in text for text in found["first half"])
    assert all("this 3D movie" in text and "watch" not in text for text in found["last half"])
    assert {len(text.split()) for text in found["two words"]} == {7}


def test_a_draw_of_the_rows_and_the_same_one_each_time() -> None:
    first, again = (variant_texts(["cf"], ROWS, target_label=1, seed=1, limit=4) for _ in range(2))
    assert first == again
    assert {len(texts) for texts in first.values()} == {4}
