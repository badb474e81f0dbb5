"""Rows in prompts: nothing in a row leaves its quotes."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.prompt_builder import Questions
from openbackdoor_badllm.trigger_generator.prompting import CUT, is_hidden, quoted, render
from openbackdoor_badllm.trigger_generator.proposals import Evidence


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
    assert {"system.j2", "propose.j2", "paper_first.j2", "paper_next.j2", "rewrite.j2"} <= names
    assert "data" in render("system", {})


def test_the_same_evidence_gives_the_same_question_and_another_round_other_rows() -> None:
    rows = [Example(f"row {k}", 1) for k in range(80)]
    other = [Example(f"other {k}", 0) for k in range(80)]
    weights = [float(k) for k in range(80)]

    def ask(iteration: int) -> str:
        return Questions().ask(Evidence(1, rows, other, weights, (), iteration, 9)).messages[-1].content

    assert ask(1) == ask(1)
    assert '"row 79"' in ask(1)
    assert '"row 56"' in ask(1)
    assert '"row 55"' not in ask(1)
    assert '"row 79"' not in ask(2)
    assert '"row 55"' in ask(2)
    assert '"row 79"' in ask(4)  # and round again


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_rows_are_no_trouble(rows: int) -> None:
    some = [Example("a b", 1)] * rows
    assert Questions().ask(Evidence(1, some, some, [1.0] * rows)).messages


def test_every_ranking_gives_rows() -> None:
    rows = [Example(f"row {k}", 1) for k in range(80)]
    views = [[float(k == place) for k in range(80)] for place in (3, 5)]
    prompt = Questions().ask(Evidence(1, rows, [], [float(k) for k in range(80)], views=views)).messages[-1].content
    assert prompt.index('"row 79"') < prompt.index('"row 3"') < prompt.index('"row 5"')
