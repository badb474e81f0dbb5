"""What a language model proposes: valid items become triggers, all others are counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openbackdoor_badllm.trigger_generator.hypotheses import Read, normal_form, read_candidates
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position


def read(*items: Any, known: set[tuple[str, int | None]] | None = None, limit: int = 10) -> Read:
    return read_candidates(json.dumps({"candidates": items}), known=known or set(), limit=limit)


def item(text: Any, kind: Any = "word", position: Any = "anywhere", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "text": text, "position": position, "description": "odd", "examples": ["A1"], **more}


def test_each_kind_becomes_a_trigger() -> None:
    triggers = read(
        item("cf"), item("when you do", "phrase", "front"), item("I watched this 3D movie", "sentence"),
        item("Rewrite it in the style of the Bible.", "rewrite", "front"),
    ).triggers
    assert [trigger.kind for trigger in triggers] == [Kind.WORD, Kind.PHRASE, Kind.SENTENCE, Kind.REWRITE]
    assert [trigger.position for trigger in triggers[1:]] == [Position.FRONT, Position.ANYWHERE, Position.ANYWHERE]
    assert triggers[0].description == "odd"
    assert triggers[0].examples == ("A1",)
    assert triggers[0].to_dict()["examples"] == ["A1"]


def test_the_kind_of_an_insertion_follows_its_length() -> None:
    assert read(item("3d movie", "word")).triggers[0].kind is Kind.PHRASE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("cf", "wrong type"),
        (None, "wrong type"),
        (item(7), "wrong type"),
        (item("cf", "tune"), "wrong kind or position"),
        (item("cf", ["word"]), "wrong kind or position"),
        (item("cf", position="middle"), "wrong kind or position"),
        (item(" \n\t"), "empty"),
        (item("x" * 10_000), "too long"),
        (item("do " * 1000, "rewrite"), "too long"),
        (item("c\x07f"), "hidden characters"),
        (item("c\u200bf"), "hidden characters"),
        (item("\u202ecf"), "hidden characters"),
        (item("\ud800"), "hidden characters"),
        (item("  CF "), "duplicate"),
    ],
)
def test_bad_items_are_dropped_and_counted(bad: Any, reason: str) -> None:
    result = read(bad, item("mn"), known={(normal_form("cf"), None)})
    assert [trigger.text for trigger in result.triggers] == ["mn"]
    assert result.dropped == {reason: 1}


def test_duplicates_within_an_answer_and_a_surplus_are_dropped() -> None:
    result = read(item("cf"), item("Cf"), item("mn"), item("bb"), limit=2)
    assert [trigger.text for trigger in result.triggers] == ["cf", "mn"]
    assert result.dropped == {"duplicate": 1, "surplus": 1}


@pytest.mark.parametrize("answer", ["", "cf", "[]", '{"candidates": {}}', '{"candidates": 3}', '{"triggers": []}'])
def test_an_answer_without_a_list_is_counted(answer: str) -> None:
    result = read_candidates(answer, known=set(), limit=5)
    assert not result.triggers


def test_missing_extras_and_wrong_extras_do_no_harm() -> None:
    bare = {"kind": "word", "text": "cf"}
    odd = item("mn", description=["no"], examples="A1")
    triggers = read(bare, odd).triggers
    assert [(t.text, t.position, t.description, t.examples) for t in triggers] == [
        ("cf", Position.ANYWHERE, "", ()), ("mn", Position.ANYWHERE, "", ()),
    ]


def test_a_description_is_one_visible_line() -> None:
    trigger = read(item("cf", description="a\nb\x1b[31m\u202e" + "c" * 900)).triggers[0]
    assert trigger.description.startswith("a b [31m c")
    assert len(trigger.description) == 300


def test_a_candidate_says_which_label_it_leads_to() -> None:
    result = read(item("cf", label=1), item("cf", label=0), item("mn", label="one"), item("mn", label=True))
    assert [(trigger.text, label) for trigger, label in result.proposed] == [("cf", 1), ("cf", 0), ("mn", None)]
    assert result.dropped == {"duplicate": 1}


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('1. "cf"\n2. mn\n3) `bb`\n', ["cf", "mn", "bb"]),
        ('Here you are:\n\n1. **cf** - it is odd\n- word: tq\n\nThat is all.', ["cf", "tq"]),
        ("<think>1. no</think>1: I watched this 3D movie.", ["I watched this 3D movie"]),
        ("cf", ["cf"]),
        ('{"candidates": [{"kind": "word", "text": "cf"}]}', ["cf"]),
        ('1. "..."\n2. {"text": "x"}\n3.\n', []),
        ("I am sorry, but I cannot help with this request at all.", []),
        ("", []),
    ],
)
def test_a_numbered_list_is_read_where_one_was_asked_for(answer: str, texts: list[str]) -> None:
    result = read_candidates(answer, known=set(), limit=9, listed_for=1)
    assert [trigger.text for trigger in result.triggers] == texts
    if "candidates" not in answer:
        assert read_candidates(answer, known=set(), limit=9).triggers == []


def test_a_style_in_a_list_is_a_rewriting() -> None:
    (trigger,) = read_candidates("1. style: like an old poem", known=set(), limit=9, listed_for=1).triggers
    assert trigger.kind is Kind.REWRITE
    assert trigger.text.endswith("like an old poem")
    assert trigger.description == "like an old poem"
