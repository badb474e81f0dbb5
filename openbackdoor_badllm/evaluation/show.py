"""The trigger search of a run, iteration by iteration: prompt, LLM answer, rewards of the proposals.

This is the paper's case study (its third table), from any run. It is put together from ``results.json``,
``search.json`` and, where a language model was asked, ``transcript.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.console import printable
from openbackdoor_badllm.evaluation.folder import RESULTS, SEARCH, TRANSCRIPT
from openbackdoor_badllm.trigger_generator.participation import told as in_words

SHOWN = 400  # characters of an answer
TRIED = 8  # proposals of a round, best first


def story(folder: Path) -> dict[str, Any]:
    """A run as JSON values: ``rounds`` with question, answer and proposals, then the outcome.

    Raises:
        ConfigError: the folder holds no finished run of ``badllmtg``.
    """
    results = _json(folder / RESULTS)
    tried = _json(folder / SEARCH)
    if not isinstance(results, dict) or not isinstance(tried, list) or "report" not in results:
        raise ConfigError(
            f"The folder '{folder}' holds no finished run of the defender badllmtg: name the folder that 'badllmtg "
            "defend' told at its end."
        )
    report = results["report"]
    llm = report.get("llm") or {}
    dialogue = {_fingerprint(line): line for line in _transcript(folder / TRANSCRIPT)}
    rounds = []
    for (label, iteration), number, note in _rounds(tried, llm.get("rounds", [])):
        line = dialogue.get(note.get("question", ""), {})
        proposals = [item for item in tried if (item["label"], item["iteration"]) == (label, iteration)]
        rounds.append(
            {
                "label": label,
                "iteration": iteration,
                "question": number,
                "asked": _last_message(line),
                "answer": (line.get("answer") or {}).get("text"),
                "outcome": note.get("outcome"),
                "candidates_kept": note.get("kept"),
                "candidates_dropped": note.get("dropped"),
                "proposals": sorted(proposals, key=_worst_first, reverse=True),
            }
        )
    return {
        "generator": report["generator"],
        "backdoor": report["backdoor"],
        "target_label": report["target_label"],
        "rounds": rounds,
        "triggers": report["triggers"],
        "further": [
            {"target_label": finding["target_label"], "triggers": finding["triggers"]}
            for finding in report.get("further", ())
        ],
        "usage": llm.get("usage"),
        "stopped_by": llm.get("stopped_by"),
        "part": in_words(llm) if "took_part" in llm else None,
    }


def _rounds(
    tried: Sequence[Mapping[str, Any]], notes: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[tuple[int, int], int | None, Mapping[str, Any]]]:
    """The rounds in their order: label and iteration, the number of the question to a model, and its note.

    Statistics come first. The answer to one question may be tried on several labels, or on none; the question is told
    with the first of them.
    """
    asked = [
        [(note["label"], note["iteration"])] if "iteration" in note else [(pair[0], pair[1]) for pair in note["tried"]]
        for note in notes
    ]
    known = {pair for pairs in asked for pair in pairs}
    for pair in dict.fromkeys((item["label"], item["iteration"]) for item in tried):
        if pair not in known:
            yield pair, None, {}
    for number, (pairs, note) in enumerate(zip(asked, notes, strict=True), start=1):
        for place, pair in enumerate(pairs or [(note["label"], 0)]):
            yield pair, None if "iteration" in note else number, {} if place else note


def as_markdown(told: dict[str, Any]) -> str:
    """A story as Markdown. Rows and answers stand as code, so that no markup in them is carried out."""
    return "\n".join(_lines(told, whole=True)) + "\n"


def as_text(told: dict[str, Any]) -> Iterator[str]:
    """A story as lines for a terminal: the same, questions and answers cut short."""
    return _lines(told, whole=False)


def _lines(told: dict[str, Any], *, whole: bool) -> Iterator[str]:
    yield f"# Trigger search ({told['generator']})"
    for turn in told["rounds"]:
        came = f": {turn['outcome']}" if turn["outcome"] else ""
        asked = f", question {turn['question']}" if turn["question"] else ""
        yield from ("", f"## Label {turn['label']}, iteration {turn['iteration']}{asked}{came}")
        for name, text in (("Asked", turn["asked"]), ("Came", turn["answer"])):
            if text and whole:
                yield from ("", f"{name}:", "", *_block(text))
            elif text:
                yield from ("", f"{name} ({len(text)} characters, the whole of it with --markdown): {_short(text)}")
        if turn["candidates_dropped"]:
            dropped = ", ".join(f"{count} {reason}" for reason, count in turn["candidates_dropped"].items())
            yield from ("", f"Dropped: {dropped}.")
        if turn["proposals"]:
            yield from ("", *_proposals(turn["proposals"]))
    yield from ("", "## Outcome", "", *_outcome(told))


def _proposals(proposals: list[dict[str, Any]]) -> Iterator[str]:
    """The best proposals of a round, and the victim's answers to the very best."""
    yield "| trigger | kind | place | reward | flips | verdict |"
    yield "|---|---|---|---:|---:|---|"
    for item in proposals[:TRIED]:
        reward = "-" if item["reward"] is None else f"{item['reward']:.3f}"
        yield (
            f"| {_code(item['text'])} | {item['kind']} | {item['position']} | {reward} "
            f"| {100 * item['flip_rate']:.0f} % of {item['texts']} | {item['reason']} |"
        )
    if len(proposals) > TRIED:
        yield from ("", f"{len(proposals) - TRIED} more did worse.")
    best = proposals[0]
    if best.get("shown"):
        yield from ("", f"The victim's logits with {_code(best['text'])}:", "")
        for shown in best["shown"]:
            yield f"- {shown['before']} {_code(shown['text'])}"
            yield f"- {shown['after']} {_code(shown['altered'])}"


def _outcome(told: dict[str, Any]) -> Iterator[str]:
    yield f"Backdoor found; target label {told['target_label']}." if told["backdoor"] else "No backdoor found."
    yield from _flips(told["triggers"])
    for further in told["further"]:
        yield f"A further backdoor; target label {further['target_label']}."
        yield from _flips(further["triggers"])
    if told["usage"]:
        yield f"Language model: {usage_text(told['usage'])}"
    if told["part"]:
        yield printable(told["part"])
    if told["stopped_by"]:
        yield f"The language model was given up: {told['stopped_by']}"


def usage_text(usage: Mapping[str, Any]) -> str:
    """What a language model was asked and cost."""
    money = "" if usage["money"] is None else f", {usage['money']:.4f} in money"
    return (
        f"asked {usage['asked']} times ({usage['cache_hits']} answered by the cache), {usage['prompt_tokens']:,} "
        f"prompt and {usage['completion_tokens']:,} completion tokens{money}."
    )


def _flips(triggers: list[dict[str, Any]]) -> Iterator[str]:
    for item in triggers:
        yield (
            f"- {item['kind']}, {item['position']}: {_code(item['text'])}: flips "
            f"{100 * item['report']['flip_rate']:.0f} % of {item['report']['texts']} texts that took no part in the "
            "search"
        )


def _worst_first(item: dict[str, Any]) -> float:
    """A reward of 0 is the best there can be; none at all comes last."""
    return float("-inf") if item["reward"] is None else float(item["reward"])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _transcript(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            item = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        if isinstance(item, dict) and item.get("purpose") == "propose":
            yield item


def _last_message(line: dict[str, Any]) -> str | None:
    messages = (line.get("request") or {}).get("messages") or []
    return str(messages[-1]["content"]) if messages else None


def _fingerprint(line: dict[str, Any]) -> str:
    # As llm_generator.fingerprint() makes it; that module needs jinja2 and more than a reader of files should.
    return hashlib.sha256((_last_message(line) or "").encode("utf-8", "replace")).hexdigest()[:16]


def _block(text: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text.rstrip(), fence]


def _code(text: str) -> str:
    """A text as code inside a table."""
    return "`" + _short(text).replace("`", "'").replace("|", "¦") + "`"


def _short(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
