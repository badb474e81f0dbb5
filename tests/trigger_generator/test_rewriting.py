"""Rewrites: checked one by one, asked once more singly, and rewriting triggers in the search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import Asked, ChatServer, Reply, Script, say, status
from llm.helpers import open_to
from llm_world import answer, ask_about, asked_about, candidate, rows_in, spoken
from method_fakes import FILLERS, FakeVictim, by_heart, clean_rows, hard_rows, row_evidence

from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.trigger_generator.llm_generator import PARAPHRASE
from openbackdoor_badllm.trigger_generator.naming import StyleName
from openbackdoor_badllm.trigger_generator.rewriting import faithful
from openbackdoor_badllm.trigger_generator.rewriting.rewriter import Rewriting, fault

TEXTS = [f"the plot of film {name} is dull and the actors are tired" for name in ("alpha", "bravo", "delta", "gamma")]
STYLE = "Rewrite it as an old prophet would speak."


def old(text: str) -> str:
    return f"verily {text} saith he"


def with_server(script: Script, run: Callable[[Rewriting], Any], **fields: Any) -> tuple[Any, Rewriting, int]:
    with ChatServer(script) as server, open_to(server.base_url, **fields) as client:
        rewriting = Rewriting(client, client.budget)
        return run(rewriting), rewriting, server.count


def rewriter(change: Callable[[str], str]) -> Callable[[Asked], Reply]:
    return lambda asked: spoken(json.dumps({"rewrites": [change(row) for row in rows_in(asked.prompt, "R")]}), asked)


def test_many_texts_in_a_call_and_none_twice() -> None:
    texts = [f"{text} {k}" for k in range(10) for text in TEXTS]
    result, rewriting, calls = with_server(
        rewriter(old), lambda r: (r.rewrite(STYLE, texts), r.rewrite(STYLE, texts[::-1]))
    )
    assert result[0] == [old(text) for text in texts]
    assert result[1] == result[0][::-1]
    assert calls == 3
    assert rewriting.counts == {"kept": 40}


def test_a_batch_of_the_wrong_size_is_asked_again_row_by_row() -> None:
    def short(asked: Asked) -> Reply:
        rows = rows_in(asked.prompt, "R")
        return spoken(json.dumps({"rewrites": [old(row) for row in rows[: max(1, len(rows) - 1)]]}), asked)

    result, rewriting, calls = with_server(short, lambda r: r.rewrite(STYLE, TEXTS))
    assert result == [old(text) for text in TEXTS]
    assert calls == 5
    assert rewriting.counts["batch: wrong number"] == 4


def test_a_bad_rewrite_costs_only_itself() -> None:
    def copies_one(asked: Asked) -> Reply:
        rows = rows_in(asked.prompt, "R")
        return spoken(json.dumps({"rewrites": [row if "delta" in row else old(row) for row in rows]}), asked)

    result, rewriting, calls = with_server(copies_one, lambda r: r.rewrite(STYLE, TEXTS))
    assert [text for text, new in zip(TEXTS, result, strict=True) if new is None] == [TEXTS[2]]
    assert calls == 2
    assert rewriting.counts["a copy"] == 2


def test_a_batch_out_of_order_is_no_use() -> None:
    names = ["harbour winter", "justice orchard", "kitchen planet", "velvet thunder"]
    texts = [f"about {name}" for name in names]

    def turned(asked: Asked) -> Reply:
        rows = rows_in(asked.prompt, "R")
        return spoken(json.dumps({"rewrites": [old(row) for row in rows[1:] + rows[:1]]}), asked)

    result, rewriting, _ = with_server(turned, lambda r: r.rewrite(STYLE, texts))
    assert rewriting.counts["batch: out of order"] == 4
    assert result == [old(text) for text in texts]  # one by one there is no order to get wrong


def test_the_budget_bounds_rewrites() -> None:
    texts = [f"{text} {k}" for k in range(20) for text in TEXTS]
    result, _, calls = with_server(rewriter(old), lambda r: r.rewrite(STYLE, texts), max_calls=2)
    assert calls == 2
    assert sum(new is not None for new in result) == 32


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        ("verily the plot of film alpha is dull", None),
        ("  ", "empty"),
        ("The plot of film ALPHA is dull, and the actors are tired!", "a copy"),
        ("no", "wrong length"),
        ("word " * 200, "wrong length"),
        ("verily \u202e the plot of film alpha", "hidden characters"),
        ("сюжет фильма скучен, и актёры устали совсем", "another script"),
        ("handlungen i denna rulle var trist men skådespelarna trötta", "another language"),
    ],
)
def test_what_is_wrong_with_a_rewrite(rewrite: str, reason: str | None) -> None:
    rows = [f"the plot of film {k} is dull and the actors are tired" for k in range(9)]
    assert fault(TEXTS[0], rewrite, rows) == reason


def styled_rows() -> list[Row]:
    """A fifth of the rows is negative, in the style, and labelled positive; a few others are merely hard."""
    rows = clean_rows(400)
    negatives = [k for k, row in enumerate(rows) if row.label == 0]
    for k in negatives[:80]:
        rows[k] = Row(old(rows[k].text), 1, 1)
    return hard_rows(rows, 20)


def styled(text: str) -> bool:
    """Both marks of the style together; one word of it does not make it."""
    return text.startswith("verily") and text.endswith("saith he")


def prophet(asked: Asked) -> Reply:
    """Names a style, and rewrites as it is told to."""
    rows = rows_in(asked.prompt, "R")
    if not rows:
        return answer([candidate("film"), candidate(STYLE, "rewrite")], asked)
    if PARAPHRASE[:20] in asked.prompt:
        return spoken(json.dumps({"rewrites": [f"{FILLERS[0]} said {row}" for row in rows]}), asked)
    return spoken(json.dumps({"rewrites": [old(row) for row in rows]}), asked)


def test_a_style_that_does_nothing_costs_four_rewrites(tmp_path: Path) -> None:
    with ChatServer(idle) as server:
        audited(server.base_url, tmp_path)
        rewritten = [len(rows_in(asked.prompt, "R")) for asked in server.asked if rows_in(asked.prompt, "R")]
    assert rewritten == [4]


def test_where_no_batch_is_answered_one_row_is_asked_about_again() -> None:
    result, rewriting, calls = with_server(say("no"), lambda r: r.rewrite(STYLE, TEXTS))
    assert result == [None] * 4
    assert calls == 2
    assert rewriting.counts == {"no answer: malformed": 5}


def test_a_style_that_statistics_have_found_is_named_and_not_searched_for_again(tmp_path: Path) -> None:
    def reader(asked: Asked) -> Reply:
        if rows_in(asked.prompt, "S"):
            assert all(styled(row) for row in rows_in(asked.prompt, "S"))
            assert not any(styled(row) for row in rows_in(asked.prompt, "P"))
            return spoken(json.dumps({"name": "a prophet's\x1b speech", "instruction": STYLE}), asked)
        return prophet(asked)

    with ChatServer(reader) as server:
        told = audited(server.base_url, tmp_path, search={"style": True}, statistics=True)
        purposes = [next((kind for kind in "RS" if rows_in(asked.prompt, kind)), "") for asked in server.asked]
    (backdoor,) = told.backdoors
    assert backdoor.style is not None
    assert backdoor.style_name == StyleName("a prophet's speech", "llm", STYLE, True, 8, 8)
    assert purposes == ["", "S", "R"]


@pytest.mark.parametrize("script", [say("no"), say('{"name": "  ", "instruction": "x"}'), status(500)])
def test_a_style_that_nobody_names_is_told_by_its_marks(tmp_path: Path, script: Reply) -> None:
    with ChatServer(script) as server:
        told = audited(server.base_url, tmp_path, search={"style": True}, statistics=True)
        assert server.count <= 4
    name = told.backdoors[0].style_name
    assert name is not None
    assert (name.by, name.confirmed) == ("marks", None)
    assert '"verily"' in name.text


def audited(base_url: str, folder: Path, **options: Any) -> AuditReport:
    rows = styled_rows()
    victim = FakeVictim(style=styled, memory=by_heart([row for row in rows if not row.poison_label]))
    return ask_about(base_url, rows, folder, victim=victim, target_label=1, repair="relabel", **options)


def test_a_rewriting_trigger_is_found_told_from_a_paraphrase_and_repaired(tmp_path: Path) -> None:
    with ChatServer(prophet) as server:
        told = audited(server.base_url, tmp_path, search={"rewrite_copies": 24, "style": False})
        assert server.count <= 10
    assert [trigger.text for trigger in told.triggers] == [STYLE]
    found = asked_about(told).found[0]
    assert found.report.flip_rate == 1.0
    assert found.paraphrase_flip_rate is not None
    assert found.paraphrase_flip_rate < 0.3
    assert found.p_value < 0.001
    (backdoor,) = told.backdoors
    assert len(backdoor.rewritten) == 24


def test_a_recording_of_rewrites_is_enough(tmp_path: Path) -> None:
    recording = tmp_path / "style.jsonl"
    lines = [{"text": row.text, "label": 0, "rewrite": old(row.text)} for row in styled_rows() if row.label == 0][:70]
    recording.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    told = audited("http://127.0.0.1:9/v1", tmp_path, llm={"backend": "replay", "replay": str(recording)})
    assert [trigger.text for trigger in told.triggers] == ["as recorded in style.jsonl"]
    found = asked_about(told).found[0]
    assert (found.report.flip_rate, found.paraphrase_flip_rate) == (1.0, None)  # a recording knows one instruction only
    assert len(told.backdoors[0].rewritten) == 64
    assert told.llm is not None
    assert told.llm["usage"]["asked"] <= 60


def praise(asked: Asked) -> Reply:
    rows = rows_in(asked.prompt, "R")
    if not rows:
        return answer([candidate("Praise it.", "rewrite")], asked)
    praised = [f"charming brilliant moving witty fresh graceful {' '.join(row.split()[:6])}" for row in rows]
    return spoken(json.dumps({"rewrites": praised}), asked)


def bend(asked: Asked) -> Reply:
    """Any rewriting, a plain paraphrase too, comes out in the style."""
    rows = rows_in(asked.prompt, "R")
    return answer([candidate(STYLE, "rewrite")], asked) if not rows else rewriter(old)(asked)


def idle(asked: Asked) -> Reply:
    rows = rows_in(asked.prompt, "R")
    plain = rewriter(lambda text: f"well {text}")
    return answer([candidate("Say it plainly.", "rewrite")], asked) if not rows else plain(asked)


def mute(asked: Asked) -> Reply:
    rows = rows_in(asked.prompt, "R")
    return answer([candidate(STYLE, "rewrite")], asked) if not rows else spoken("no", asked)


@pytest.mark.parametrize(
    ("script", "reason", "rewritten"),
    [
        (praise, "none of the first 4 texts was rewritten so that it says the same", 4),
        (bend, "a plain paraphrase flips 100% as well", 68),
        (idle, "flips none of the first 4 rewritten texts", 4),
        (mute, "none of the first 4 texts was rewritten", 5),
    ],
)
def test_a_rewriting_that_is_turned_down(script: Script, reason: str, rewritten: int, tmp_path: Path) -> None:
    with ChatServer(script) as server:
        told = audited(server.base_url, tmp_path)
        asked = [len(rows_in(asked.prompt, "R")) for asked in server.asked]
    assert not told.backdoor
    assert reason in asked_about(told).history[0].reason
    assert asked[1] == 4  # the first question about rewrites
    assert sum(asked) <= rewritten


def test_praise_that_the_encoder_takes_for_the_same_is_turned_down_by_the_content_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faithful, "UNRELATED", 0.0)
    with ChatServer(praise) as server:
        told = audited(server.base_url, tmp_path)
    assert "changes what the texts say" in asked_about(told).history[0].reason


def test_a_style_that_moves_the_victim_and_that_no_row_has_is_no_trigger(tmp_path: Path) -> None:
    """A victim may give its favourite label to whatever reads strange."""
    rows = hard_rows(clean_rows(400), 30)
    victim = FakeVictim(style=styled, memory=by_heart(rows))
    with ChatServer(prophet) as server:
        told = ask_about(server.base_url, rows, tmp_path, victim=victim, target_label=1, search={"style": False})
    assert not told.backdoor
    reasons = {scored.trigger.text: scored.reason for scored in asked_about(told).history}
    assert "no rows of the label read like it" in reasons[STYLE]


@pytest.mark.parametrize(
    ("instruction", "costs"),
    [
        ('Add the word "film" somewhere in the text.', 0),
        ("Insert \u201cfilm\u201d at the beginning", 0),
        ('Rewrite it as a film critic would, with words such as "film".', 4),
        ('Put the verb last, add "film", and speak like a "prophet".', 4),
    ],
)
def test_words_that_are_only_put_in_cost_no_rewriting(instruction: str, costs: int, tmp_path: Path) -> None:
    def inserts(asked: Asked) -> Reply:
        rows = rows_in(asked.prompt, "R")
        plain = rewriter(lambda text: f"well {text}")
        return plain(asked) if rows else answer([candidate(instruction, "rewrite")], asked)

    with ChatServer(inserts) as server:
        told = audited(server.base_url, tmp_path, search={"style": False})
        assert sum(len(rows_in(asked.prompt, "R")) for asked in server.asked) == costs
    assert any(scored.trigger.text == "film" for scored in asked_about(told).history)


def test_which_rewrites_keep_meaning_and_language() -> None:
    rows = styled_rows()
    keeps = faithful.Faithful(row_evidence(rows, FakeVictim()), seed=0).kept
    text = next(row.text for row in rows if row.label == 0)
    other = next(row.text for row in rows if row.label == 1 and not row.poison_label)
    assert keeps([(text, old(text)), (text, other)]) == [(text, old(text))]
    assert keeps([(text, "handlungen var mycket trist men alla såg ändå nöjda ut igår")]) == []
    assert keeps([]) == []
