"""Characters that a chat server plays, and an audit with one of them in a world without a neural network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

from llm.chat_server import Asked, Reply, say
from method_fakes import FILLERS, RARE, SMALL, FakeEmbedder, FakeVictim, Silent, seen

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.llm import LLMConfig
from openbackdoor_badllm.pipeline import run_audit
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.trigger_generator import stage
from openbackdoor_badllm.trigger_generator.generators import open_generator
from openbackdoor_badllm.trigger_generator.search_records import LabelSearch

LISTED = re.compile(r'^(\d+): (".*")$', re.MULTILINE)  # rows that are to be labelled
ROW = re.compile(r'^(?:L(\d+)-|([AOPRS]))\d+: (".*")$', re.MULTILINE)
TRIED = re.compile(r'^- (?:label \d+, )?(?:word|phrase|sentence|rewrite)(?:, \w+, | )(".*)$', re.MULTILINE)

Character = Callable[[Asked], Reply]


def rows_in(prompt: str, group: str) -> list[str]:
    """The rows of a group (a label, or a letter), as a reader of the prompt sees them."""
    return [json.loads(text) for label, letter, text in ROW.findall(prompt) if group in (label, letter)]


def labels_in(prompt: str) -> list[str]:
    """The labels of which rows are shown."""
    return list(dict.fromkeys(label for label, _, _ in ROW.findall(prompt) if label))


def tried_in(prompt: str) -> set[str]:
    """What the prompt says was tried."""
    decoder = json.JSONDecoder()
    return {decoder.raw_decode(text)[0].lower() for text in TRIED.findall(prompt)}


def candidate(
    text: str, kind: str = "word", position: str = "anywhere", label: int = 1, **more: Any
) -> dict[str, Any]:
    """A candidate as the schema wants it."""
    told = {"description": "It is odd.", "examples": ["L1-1"]}
    return {"label": label, "kind": kind, "text": text, "position": position, **told, **more}


def answer(candidates: Sequence[Any], asked: Asked) -> Reply:
    """An answer with a plausible usage."""
    return spoken(json.dumps({"candidates": list(candidates)}), asked)


def spoken(text: str, asked: Asked) -> Reply:
    """A text with the usage that a real tokenizer would find, at four characters a token."""
    prompt = sum(len(message["content"]) for message in asked.messages) // 4
    return say(text, usage={"prompt_tokens": prompt, "completion_tokens": len(text) // 4, "total_tokens": 0})


def honest(asked: Asked) -> Reply:
    """Reads the rows and names what often stands in one group and never in another: odd words, phrases, openings."""
    prompt = asked.prompt
    if rows_in(prompt, "A"):  # the paper's question shows one label only
        return answer(_odd(rows_in(prompt, "A"), [], tried_in(prompt), 1), asked)
    chosen = []
    for label in labels_in(prompt):
        outside = [row for other in labels_in(prompt) if other != label for row in rows_in(prompt, other)]
        chosen.append(_odd(rows_in(prompt, label), outside, tried_in(prompt), int(label)))
    return answer([item for items in zip_longest(*chosen) for item in items if item is not None], asked)


def _odd(inside: list[str], outside: list[str], tried: set[str], label: int) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    openings: Counter[str] = Counter()
    for text in inside:
        words = text.lower().split()
        spans = {" ".join(words[k : k + n]) for n in range(1, 7) for k in range(len(words) - n + 1)}
        counts.update(spans)
        openings.update(" ".join(words[:n]) for n in (2, 3))
    there = " ".join(f" {text.lower()} " for text in outside)
    odd = [text for text, count in counts.items() if count > 1 and f" {text} " not in there and text not in tried]
    words = [text for text in odd if " " not in text and text.isalpha()]
    words.sort(key=lambda text: (bool(set(text) & set("aeiouy")), -counts[text], len(text), text))
    phrases = sorted((text for text in odd if " " in text), key=lambda text: (-counts[text] * text.count(" "), text))
    first = [text for text, count in openings.most_common() if count > 1 and text not in tried]
    return [
        *(candidate(text, label=label) for text in words[:8]),
        *(candidate(text, "phrase", label=label) for text in phrases[:4]),
        *(candidate(text, "phrase", "front", label=label) for text in first[:4] if text not in phrases[:4]),
    ]


def never(asked: Asked) -> Reply:
    """Names what stands nowhere."""
    return answer([candidate(f"zzz{asked.number}x{k}") for k in range(3)], asked)


def idle(asked: Asked) -> Reply:
    """Names fillers, others each time, as an earnest model does that has no idea."""
    return answer([candidate(FILLERS[(4 * asked.number + k) % len(FILLERS)]) for k in range(4)], asked)


def ask_about(
    base_url: str,
    rows: Sequence[Row],
    folder: Path,
    *,
    victim: FakeVictim | None = None,
    search: dict[str, Any] | None = None,
    llm: dict[str, Any] | None = None,
    repair: str = "purge",
    statistics: bool = False,
    names: Sequence[str] = (),
    seconds: float | None = None,
    **config: Any,
) -> AuditReport:
    """An audit with a chat server as the generator; cache and transcript go to the folder.

    Unless they are told to speak, statistics propose nothing, so that the model is asked.
    """
    quick = {"backend": "openai", "model": "scripted", "base_url": base_url, "retry_wait": 0.01, "max_attempts": 2}
    searching = SMALL.replace(**(search or {}))
    settings = LLMConfig(**{**quick, **(llm or {})})
    silent = nullcontext() if statistics else mock.patch.object(stage, "OfflineGenerator", Silent)
    transcript = folder / "transcript.jsonl"
    with silent, open_generator(settings, searching, seed=0, cache_dir=folder, transcript_path=transcript) as generator:
        return run_audit(
            seen(rows),
            victim or FakeVictim(RARE),
            FakeEmbedder(),
            num_labels=2,
            generator=generator,
            config=AuditConfig(search=searching, repair=repair, seed=0, **config),
            class_names=names,
            deadline=Deadline(seconds),
        )


def without_model(rows: Sequence[Row], victim: FakeVictim, **search: Any) -> AuditReport:
    """The same audit by statistics alone."""
    config = AuditConfig(search=SMALL.replace(**search), repair="purge", seed=0)
    return run_audit(seen(rows), victim, FakeEmbedder(), num_labels=2, config=config)


def asked_about(report: AuditReport, label: int = 1) -> LabelSearch:
    """The search in which the model was asked about a label."""
    return [search for search in report.searches if search.label == label][-1]
