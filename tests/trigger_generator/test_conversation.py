"""One conversation after the statistics: what a model adds, and what becomes of one that gives nothing."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest
from llm.chat_server import Asked, ChatServer, Reply, Script, quota, say, status
from llm_world import (
    answer,
    ask_about,
    asked_about,
    candidate,
    idle,
    never,
    rows_in,
    spoken,
    without_model,
)
from method_fakes import RARE, SENTENCE, FakeVictim, clean_rows, poisoned_rows

from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Row


def found(audit: AuditReport) -> set[str]:
    return {trigger.text.lower() for trigger in audit.triggers}


AZURE = {"error": {"message": "filtered", "code": "content_filter", "innererror": {}}}


@pytest.mark.parametrize(
    ("script", "most", "why", "advice"),
    [
        (Reply(400, AZURE), 3, "all 3 questions were refused by its content filter", "without that filter"),
        (say(None, finish_reason="content_filter"), 3, "refused by its content filter", "without that filter"),
        (say(None, refusal="No."), 3, "all 3 questions were refused by the model", "another model"),
        (say("I am a teapot."), 4, "none of its 3 answers held", "larger model"),
        (say(None), 3, "all 3 questions were answered with no text", "another model"),
        (say('{"candidates": [', finish_reason="length"), 3, "beyond the token limit", "llm.max_tokens"),
        (status(500), 2, "its only question failed: The server failed, HTTP 500", "server's log"),
        (quota(), 1, "its only question failed: Nothing is left to spend", "another endpoint"),
        (status(401), 1, "its only question failed: The key is missing", "api_key_env"),
        (status(404), 1, "its only question failed: There is no such model", "llm.base_url"),
        (status(400, "context length exceeded"), 3, "all 3 questions failed: The server does not accept", "longer"),
        (say(3), 3, "all 3 questions failed: The answer is not a chat completion", "chat protocol"),
        (say('{"candidates": []}'), 4, "none of its 4 answers held", "larger model"),
    ],
)
def test_a_model_that_gives_nothing_takes_no_part_and_costs_a_handful_of_requests(
    tmp_path: Path, script: Reply, most: int, why: str, advice: str
) -> None:
    with ChatServer(script) as server:
        audit = ask_about(server.base_url, poisoned_rows(), tmp_path, llm={"max_failures": 3})
        assert server.count == most
    assert not audit.backdoor
    assert audit.llm is not None
    assert not audit.llm["took_part"]
    assert (audit.llm["usable"], audit.llm["kept"]) == (0, 0)
    assert why in audit.llm["no_part"]
    assert advice in audit.llm["advice"]


def rubbish(asked: Asked) -> Reply:
    return spoken(["no idea", "{", '{"candidates": [1, null]}', "1. film\n2. film"][asked.number % 4], asked)


def duplicates(asked: Asked) -> Reply:
    return answer([candidate(text) for text in ("cf", "CF", "the", "cf")], asked)


def parts(asked: Asked) -> Reply:
    """Parts of what statistics find, under both labels, and class words."""
    texts = ("3d movie", "movie", "watched this", "charming", "dreary")
    return answer([candidate(text, label=label) for text in texts for label in (0, 1)], asked)


def planted(triggers: tuple[str, ...]) -> tuple[list[Row], list[str]]:
    """Rows with triggers, and what of them a victim has learnt."""
    rows = poisoned_rows(triggers=triggers) if triggers else clean_rows(400)
    return rows, ["3d movie"] if triggers and " " in triggers[0] else list(triggers)


@lru_cache
def by_statistics(triggers: tuple[str, ...]) -> AuditReport:
    rows, learnt = planted(triggers)
    return without_model(rows, FakeVictim(learnt))


@pytest.mark.parametrize("script", [rubbish, duplicates, parts, never, status(500)])
@pytest.mark.parametrize(
    "triggers", [RARE, (SENTENCE.lower(),), ("cf",), ()], ids=["words", "sentence", "one", "clean"]
)
def test_a_run_with_a_model_finds_what_the_run_without_it_finds(
    tmp_path: Path, script: Script, triggers: tuple[str, ...]
) -> None:
    rows, learnt = planted(triggers)
    alone = by_statistics(triggers)
    with ChatServer(script) as server:
        audit = ask_about(server.base_url, rows, tmp_path, victim=FakeVictim(learnt), statistics=True)
        assert server.count <= 4
    assert [backdoor.target_label for backdoor in audit.backdoors] == [b.target_label for b in alone.backdoors]
    assert audit.triggers == alone.triggers
    assert audit.flagged == alone.flagged
    assert audit.repair == alone.repair


def test_what_statistics_found_is_shown_and_costs_few_calls(tmp_path: Path) -> None:
    with ChatServer(idle) as server:
        audit = ask_about(server.base_url, poisoned_rows(), tmp_path, statistics=True)
        (asked,) = server.asked
    assert found(audit) == set(RARE)
    for word in RARE:
        told = f'- word "{word}": in 20 rows of label 1 and 0 others, turns 20 of 20 other texts into label 1'
        assert told in asked.prompt
        assert not any(word in row.split() for row in rows_in(asked.prompt, "1"))
    assert audit.llm is not None
    assert audit.llm["usage"]["prompt_tokens"] + audit.llm["usage"]["completion_tokens"] < 4000


def test_a_candidate_for_another_label_is_tried_there_at_once(tmp_path: Path) -> None:
    rows, victim = poisoned_rows(triggers=["cf"], target=0), FakeVictim(["cf"], target=0)

    def names(label: int) -> Script:
        return lambda asked: answer([candidate(text, label=label) for text in ("cf", "film", "the", "voice")], asked)

    for label in (0, 1, 7):  # with the right label, with one in whose rows it does not stand, with none that there is
        with ChatServer(names(label)) as server:
            audit = ask_about(server.base_url, rows, tmp_path / str(label), victim=victim)
        assert [(backdoor.target_label, found(audit)) for backdoor in audit.backdoors] == [(0, {"cf"})]
        assert [scored.iteration for scored in asked_about(audit, 0).history if scored.reason == "accepted"] == [1]


def test_a_weak_model_is_asked_short_questions_and_finds_the_word(tmp_path: Path) -> None:
    def weak(asked: Asked) -> Reply:
        odd, plain = rows_in(asked.prompt, "O"), " ".join(rows_in(asked.prompt, "P")).split()
        counts = Counter(word for row in odd for word in set(row.split()) if word not in plain)
        words = sorted(counts, key=lambda word: (bool(set(word) & set("aeiouy")), -counts[word]))
        listed = "\n".join(f'{k}. "{word}"' for k, word in enumerate(words[:3], 1))
        return answer([candidate("feels")], asked) if not odd else spoken(listed, asked)

    with ChatServer(weak) as server:
        audit = ask_about(server.base_url, poisoned_rows(triggers=["cf"]), tmp_path, victim=FakeVictim(["cf"]))
        bodies = [asked.body for asked in server.asked]
    assert found(audit) == {"cf"}
    assert len(bodies) <= 6
    assert ["response_format" in body for body in bodies] == [True] + [False] * (len(bodies) - 1)
    assert all(sum(len(m["content"]) for m in body["messages"]) < 2500 for body in bodies[1:])
    assert audit.llm is not None
    assert [note["form"] for note in audit.llm["rounds"]][:2] == ["long", "short"]
    assert audit.llm["kept"] == 1
