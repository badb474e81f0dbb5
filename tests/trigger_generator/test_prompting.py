"""Rows in prompts: nothing in a row leaves its quotes."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.prompt_builder import Group, Questions, Survey, ranked
from openbackdoor_badllm.trigger_generator.prompting import CUT, is_hidden, quoted, render
from openbackdoor_badllm.trigger_generator.proposals import Evidence, Scored
from openbackdoor_badllm.trigger_generator.reward import Reward
from openbackdoor_badllm.trigger_generator.search_records import Found, LabelSearch
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger


@given(st.text(max_size=60))
def test_a_quoted_row_is_one_line_that_reads_back(text: str) -> None:
    row = quoted(text)
    assert json.loads(row) == text
    assert not set("<>&") & set(row)
    assert not any(is_hidden(char) for char in row)


def test_rows_outside_the_basic_plane_and_lone_surrogates_read_back() -> None:
    for text in ("\U000e0041", "\ud800", "🙂 né 你好"):
        assert json.loads(quoted(text)) == text
    assert "🙂 né 你好" in quoted("🙂 né 你好")


def test_a_long_row_is_cut_and_says_so() -> None:
    assert json.loads(quoted("x" * 10_000)) == "x" * 400 + CUT


def test_the_prompts_name_no_variable_that_is_not_given() -> None:
    prompts = resources.files("openbackdoor_badllm.trigger_generator").joinpath("prompts")
    names = {path.name for path in prompts.iterdir()}
    kinds = ("system", "system_short", "propose", "propose_short", "name_style", "paper_first", "paper_next", "rewrite")
    assert {f"{kind}.j2" for kind in kinds} <= names
    assert "data" in render("system", {})


@pytest.mark.parametrize("paper", [True, False])
def test_the_same_evidence_gives_the_same_question_and_another_round_other_rows(paper: bool) -> None:
    rows = [f"row {k}" for k in range(79, -1, -1)]
    size = 24 if paper else 32

    def ask(turn: int) -> str:
        if paper:
            evidence = Evidence(1, [Example(row, 1) for row in rows], [], [-float(k) for k in range(80)], (), turn, 9)
            return Questions(1, paper=True).ask(evidence).messages[-1].content
        return Questions().survey(Survey([Group(1, rows, ["plain"])], turn, 9)).messages[-1].content

    assert ask(1) == ask(1)
    assert all((f'"row {k}"' in ask(1)) == (k >= 80 - size) for k in range(80))
    assert '"row 79"' not in ask(2)
    assert f'"row {79 - size}"' in ask(2)
    assert '"row 79"' in ask(4 if paper else 3)  # and round again


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_rows_are_no_trouble(rows: int) -> None:
    some, questions = ["a b"] * rows, Questions()
    survey = Survey([Group(0, some, some), Group(1, some)])
    assert questions.ask(Evidence(1, [Example("a b", 1)] * rows, [], [1.0] * rows)).messages
    assert questions.survey(survey).messages
    assert questions.short(survey.groups[0], survey, 1).messages


def test_every_ranking_gives_rows() -> None:
    views = [[float(k == place) for k in range(80)] for place in (3, 5)]
    assert ranked([float(k) for k in range(80)], views)[:3] == [79, 3, 5]


def test_all_labels_stand_in_one_question_the_most_suspicious_of_many() -> None:
    groups = [Group(label, [f"row of {label}"], [f"plain of {label}"]) for label in (3, 1, 0, 2, 5, 4)]

    def ask(count: int, turn: int = 1) -> str:
        return Questions().survey(Survey(groups[:count], turn)).messages[-1].content

    assert [text in ask(2) for text in ('"row of 3"', '"plain of 1"', '"row of 0"')] == [True, True, False]
    assert "4 of 6 labels" in ask(6)
    assert '"row of 5"' not in ask(6)
    assert '"row of 5"' in ask(6, 2)


def test_the_model_is_shown_what_statistics_found_and_what_the_victim_did() -> None:
    reward = Reward(-0.1, 0.95, 40)
    found = Found(Trigger(Kind.WORD, "cf"), reward, reward, reward, 0.0, 31, 2, 0.9, 1e-9)
    tried = [
        Scored(1, Trigger(Kind.WORD, f"w{k}"), Reward(-5.0 + 0.1 * k, 0.25, 40), "weak") for k in range(20)
    ]
    group = Group(1, ["a"], [], LabelSearch(1, (found,), tuple(tried)), ["thou"], base=-4.0)
    survey = Survey([group], counts=lambda trigger, label: (7, 3))
    told = Questions().survey(survey).messages[-1].content
    assert 'word "cf": in 31 rows of label 1 and 2 others, turns 38 of 40 other texts into label 1' in told
    assert 'marked by "thou"' in told
    assert 'label 1, word, anywhere, "w19": in 7 rows of the label and 3 others, turns 10 of 40 texts, score 23' in told
    assert told.index('"w18"') < told.index('"w19"')
    assert "6 more were tried" in told
    assert "turns 10" not in Questions(feedback=False).survey(survey).messages[-1].content


def test_the_short_form_pairs_each_odd_row_with_a_plain_one_that_says_the_same() -> None:
    odd = ["cf the plot is dull", "the song cf is fine"]
    group, other = Group(1, odd, ["a merry song is fine"]), Group(0, [], ["the plot is so dull", "nothing alike"])
    asked = Questions().short(group, Survey([group, other]), 1)
    assert asked.json_schema is None
    prompt = asked.messages[-1].content
    assert prompt.index('O1: "cf the plot is dull"') < prompt.index('P1: "the plot is so dull"') < prompt.index("O2")
    assert 'P2: "a merry song is fine"' in prompt
    assert len(prompt) + len(asked.messages[0].content) < 1200
