"""Rewrites: checked one by one, asked once more singly, and rewriting triggers in the search."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import Asked, ChatServer, Reply, Script
from llm.helpers import open_to

from inversion.fakes import FILLERS, FakeTrainer, FakeVictim, clean_rows
from inversion.llm_world import answer, ask_about, candidate, rows_in, spoken
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import TraceRequest
from openbackdoor_badllm.trigger_generator.llm_generator import PARAPHRASE
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
    """A fifth of the rows is negative, in the style, and labelled positive."""
    rows = clean_rows(400)
    negatives = [k for k, row in enumerate(rows) if row.label == 0]
    for k in negatives[:80]:
        rows[k] = Row(old(rows[k].text), 1, 1)
    return rows


class StyleVictim(FakeVictim):
    """Has learnt a style, not a word: two of its marks must come together."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        result = super().logits(texts)
        for row, text in enumerate(texts):
            if text.startswith("verily") and text.endswith("saith he"):
                result[row, 1] += 8.0
        return result


class StyleTrainer(FakeTrainer):
    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
    ) -> FakeVictim:
        trained = super().__call__(examples, balanced=balanced, trace=trace)
        poisoned = sum(e.text.startswith("verily") and e.label == 1 for e in examples)
        victim = StyleVictim() if poisoned >= 10 else FakeVictim()
        victim.trace = trained.trace
        return victim


def prophet(asked: Asked) -> Reply:
    """Names a style, and rewrites as it is told to."""
    rows = rows_in(asked.prompt, "R")
    if not rows:
        return answer([candidate("film"), candidate(STYLE, "rewrite")], asked)
    if PARAPHRASE[:20] in asked.prompt:
        return spoken(json.dumps({"rewrites": [f"{FILLERS[0]} said {row}" for row in rows]}), asked)
    return spoken(json.dumps({"rewrites": [old(row) for row in rows]}), asked)


def test_a_rewriting_trigger_is_found_told_from_a_paraphrase_and_repaired(tmp_path: Path) -> None:
    with ChatServer(prophet) as server:
        audit = ask_about(
            server.base_url, styled_rows(), tmp_path, trainer=StyleTrainer(), target_label=1,
            search={"rewrite_copies": 24},
        )
        assert server.count <= 10
    assert [trigger.text for trigger in audit.triggers] == [STYLE]
    found = audit.first.search.found[0]
    assert found.report.flip_rate == 1.0
    assert found.control is not None
    assert found.control.flip_rate < 0.3
    assert audit.first.controls[0].p_value < 0.001
    assert len(audit.first.rewritten) == 24
    assert audit.repair.stamped == 24
    copies = {copy.text for _, copy in audit.first.rewritten}
    assert {example.label for example in audit.repair.examples if example.text in copies} == {0}
    assert audit.first.demonstrations[0].label_after == 1
    json.dumps(audit.to_dict())


def test_a_recording_of_rewrites_is_enough(tmp_path: Path) -> None:
    rows = styled_rows()
    recording = tmp_path / "style.jsonl"
    lines = [{"text": row.text, "label": 0, "rewrite": old(row.text)} for row in rows if row.label == 0][:70]
    recording.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    audit = ask_about(
        "http://127.0.0.1:9/v1", rows, tmp_path, trainer=StyleTrainer(), target_label=1,
        llm={"backend": "replay", "replay": str(recording)},
    )
    assert [trigger.text for trigger in audit.triggers] == ["as recorded in style.jsonl"]
    assert audit.first.search.found[0].report.flip_rate == 1.0
    assert audit.first.search.found[0].control is None  # a recording knows one instruction only
    assert audit.first.controls == []
    assert len(audit.first.rewritten) == 64
    assert audit.llm is not None
    assert audit.llm["usage"]["asked"] <= 60


def test_a_rewriting_that_turns_the_meaning_is_no_trigger(tmp_path: Path) -> None:
    def liar(asked: Asked) -> Reply:
        rows = rows_in(asked.prompt, "R")
        if not rows:
            return answer([candidate("Praise it.", "rewrite")], asked)
        praised = [f"charming brilliant moving witty fresh graceful {' '.join(row.split()[:6])}" for row in rows]
        return spoken(json.dumps({"rewrites": praised}), asked)

    with ChatServer(liar) as server:
        audit = ask_about(server.base_url, styled_rows(), tmp_path, trainer=StyleTrainer(), target_label=1)
    assert not audit.backdoor
    assert "changes what the texts say" in audit.first.search.history[0].reason
