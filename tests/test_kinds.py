"""Kinds of rows that are told apart: mixtures, clean labels, shortcuts, styles that other labels have as well."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from method_fakes import (
    RARE,
    STYLED,
    FakeEmbedder,
    FakeVictim,
    by_heart,
    clean_rows,
    hard_rows,
    has_style,
    in_style,
    poisoned_rows,
    seen,
    style_rows,
)

from openbackdoor_badllm.pipeline import run_audit
from openbackdoor_badllm.report import AuditReport, Verdict
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger


def audited(rows: list[Row], victim: FakeVictim) -> AuditReport:
    return run_audit(seen(rows), victim, FakeEmbedder(), num_labels=2, config=STYLED)


def learnt(rows: list[Row], triggers: tuple[str, ...] = ()) -> FakeVictim:
    """A victim that has learnt the triggers and the style, and the hard rows one by one."""
    honest = [row for row in rows if not row.poison_label]
    return FakeVictim(triggers, style=has_style, memory=by_heart(honest))


def marked(rows: list[Row], which: Callable[[int, Row], bool], word: str = "zq") -> list[Row]:
    """The rows with a word put into some of them, labels kept."""
    rng = random.Random(0)
    trigger = Trigger(Kind.WORD, word)
    return [Row(trigger.apply(row.text, rng), row.label) if which(k, row) else row for k, row in enumerate(rows)]


def test_words_and_a_style_in_one_set() -> None:
    """Both are found, and the rows of both are flagged."""
    styled, worded = style_rows(700, share=0.15), poisoned_rows(700, share=0.12)
    rows = hard_rows(
        [one if one.poison_label else other for one, other in zip(styled, worded, strict=True)], 90
    )
    report = audited(rows, learnt(rows, RARE))
    (backdoor,) = report.backdoors
    assert {trigger.text for trigger in backdoor.triggers} == set(RARE)
    assert backdoor.style is not None
    poisoned = {k for k, row in enumerate(rows) if row.poison_label}
    assert len(backdoor.suspects & poisoned) >= 0.9 * len(poisoned)


def test_a_style_that_rows_of_other_labels_have_is_how_people_write() -> None:
    rows = hard_rows(style_rows(400), 30)
    honest = [
        Row(in_style(row.text), row.label) if row.label == 0 and k % 3 == 0 else row for k, row in enumerate(rows)
    ]
    assert audited(rows, learnt(rows)).backdoors[0].style is not None
    assert audited(honest, learnt(honest)).verdict is Verdict.NOTHING


@pytest.mark.parametrize(
    ("share", "verdict"), [(4, Verdict.BACKDOOR), (1.25, Verdict.SHORTCUT)], ids=["a few rows", "most rows"]
)
def test_a_clean_label_trigger_and_the_mark_of_a_source(share: float, verdict: Verdict) -> None:
    """The same word in rows whose texts fit their label: how many rows have it tells which it is."""
    ones = [k for k, row in enumerate(clean_rows(400)) if row.label == 1]
    chosen = set(ones[: round(len(ones) / share)])
    report = audited(marked(clean_rows(400), lambda k, row: k in chosen), FakeVictim(("zq",)))
    assert report.verdict is verdict
    shortcuts = [found.trigger.text for search in report.searches for found in search.shortcuts]
    assert (shortcuts == ["zq"]) is (verdict is Verdict.SHORTCUT)
    if verdict is Verdict.SHORTCUT:
        assert not report.flagged
        assert report.to_dict()["labels_searched"]
