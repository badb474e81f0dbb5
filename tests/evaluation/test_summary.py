"""The summary: what it must say, and that no text of an attacker does anything on a terminal."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from openbackdoor_badllm.evaluation.summary import print_summary

from .conftest import Finished

HOSTILE = "[red]x[/red][/nope][link=file:///etc]\x1b]0;owned\x07\x1b[2J\r\x08\x9b31m\u202e\n\t\\"
FREE = ("dataset", "poisoner", "victim", "text", "triggered", "trigger", "core", "description", "generator", "reason")
SGR = re.compile(r"\x1b\[[0-9;]*m")  # the colours of rich itself


def show(results: dict[str, Any], *, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, color_system="truecolor" if terminal else None, width=5000)
    print_summary(results, Path("runs/one"), console)
    return stream.getvalue()


def changed(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    """The results with every free text changed, wherever it stands."""
    if isinstance(value, dict):
        return {name: changed(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [changed(item, change, key) for item in value]
    return change(value) if isinstance(value, str) and key in (*FREE, "label_names", "marks") else value


def test_it_says_what_was_found(finished: Finished) -> None:
    told = show(finished.results)
    assert "Backdoor found (offline search, no LLM). Target label: 1 (right)" in told
    assert "20% of the training rows poisoned (dirty) toward label 1" in told
    assert re.search(r"^cf\s.*word", told, flags=re.MULTILINE)
    for line in finished.results["lines"]:
        row = rf"^{line['name']}\W+{100 * line['CACC']:.1f}\W+{100 * line['ASR']:.1f}\W+.*{line['train_rows']}\s*$"
        assert re.search(row, told, flags=re.MULTILINE)
    assert "Run folder: runs/one" in told


def test_it_tells_of_further_backdoors(finished: Finished) -> None:
    results = copy.deepcopy(finished.results)
    assert "further" not in show(results)
    first = results["report"]
    keys = ("triggers", "style", "unlearning", "demonstrations")
    other = {"target_label": 0, "flagged_rows": 3, **{key: copy.deepcopy(first[key]) for key in keys}}
    other["triggers"][0]["text"] = "zq"
    first["further"] = [other]
    told = show(results)
    assert told.index("Backdoor found") < told.index("A further backdoor. Target label: 0")
    assert told.index("A further backdoor") < told.index("zq")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("place", ["whole", "front", "end"])
def test_hostile_texts_do_nothing(finished: Finished, terminal: bool, place: str) -> None:
    change = {"whole": lambda _: HOSTILE, "front": lambda text: HOSTILE + text, "end": lambda text: text + HOSTILE}[
        place
    ]
    results = copy.deepcopy(finished.results)
    told = show(changed(results, change), terminal=terminal)
    plain = SGR.sub("", told)
    assert plain.count("[red]x[/red][/nope]") >= 6
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", plain)
    assert "\x1b]8;" not in told
    # No line of its own making: as many lines as with harmless texts.
    harmless = show(changed(results, lambda text: re.sub(r"\w", "x", text)), terminal=terminal)
    assert len(told.splitlines()) == len(harmless.splitlines())


def test_no_defender_and_nothing_found(finished: Finished) -> None:
    results = copy.deepcopy(finished.results)
    results["report"]["backdoor"] = False
    assert "No backdoor found (offline search, no LLM)." in show(results)
    del results["report"], results["truth"]
    told = show(results)
    assert "ackdoor found" not in told
    assert "undefended" in told


def test_it_says_what_part_a_language_model_took(finished: Finished) -> None:
    results = copy.deepcopy(finished.results)
    report = results["report"]
    report["generator"] = "openai m"
    usage = {"asked": 3, "cache_hits": 0, "prompt_tokens": 9, "completion_tokens": 0, "money": None}
    none = {"took_part": False, "no_part": f"all 3 questions failed: {HOSTILE}", "advice": "Mend it."}
    report["llm"] = {"model": "m", "usage": usage, "stopped_by": "It stops.", "asked": 3, "answered": 0, **none}
    told = show(results)
    assert "The language model took no part: all 3 questions failed: [red]x[/red]" in told
    assert "; the verdict stands on statistics alone. Mend it." in told
    assert "Backdoor found (statistics alone)" in told
    assert "It stops." not in told
    report["llm"] |= {"took_part": True, "answered": 2, "usable": 5, "kept": 1}
    told = show(results)
    assert "2 were answered, with 5 candidates that could be tried; 1 of them were confirmed." in told
    assert "It stops." in told


@pytest.mark.parametrize(
    ("confirmed", "says"),
    [(True, "the victim confirms it: 7 of 8"), (False, "does not confirm it: 7 of 8"), (None, "not tried")],
)
def test_it_says_what_a_model_calls_a_style(finished: Finished, confirmed: bool | None, says: str) -> None:
    results = copy.deepcopy(finished.results)
    name = {"text": HOSTILE, "by": "llm", "instruction": "", "confirmed": confirmed, "flipped": 7, "texts": 8}
    style = {"rows": 9, "separation": 2.0, "marks": ["thou"]}
    test = {"moved": 0.9, "usual": 0.1, "p_value": 1e-6}
    results["report"] |= {"style": style, "unlearning": test, "style_name": name}
    told = show(results)
    assert "The language model calls it “[red]x[/red]" in told
    assert says in told
    results["report"]["style_name"] = {**name, "by": "marks"}
    assert "calls it" not in show(results)
