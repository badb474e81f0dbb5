"""The trigger search of a run, iteration by iteration: prompt, LLM answer, rewards of the proposals.

This is the paper's case study (its third table), from any run. It is put together from ``results.json``,
``search.json`` and, where a language model was asked, ``transcript.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
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
    for pairs, number, note in _rounds(tried, llm.get("rounds", [])):
        line = dialogue.get(note.get("question", ""), {})
        for place, (label, iteration) in enumerate(pairs):
            asked = place == 0  # a question about all labels is told once
            rounds.append(
                {
                    "label": label,
                    "iteration": iteration,
                    "question": number,
                    "asked": _last_message(line) if asked else None,
                    "answer": (line.get("answer") or {}).get("text") if asked else None,
                    "outcome": note.get("outcome") if asked else None,
                    "candidates_kept": note.get("kept") if asked else None,
                    "candidates_dropped": note.get("dropped") if asked else None,
                    "proposals": sorted(
                        (item for item in tried if (item["label"], item["iteration"]) == (label, iteration)),
                        key=_worst_first, reverse=True,
                    ),
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
) -> Iterator[tuple[list[tuple[int, int]], int | None, Mapping[str, Any]]]:
    """The rounds in their order: (label, iteration) pairs, the number of the question to a model, and its note.

    Statistics come first. The answer to one question may be tried on several labels, or on none.
    """
    asked = [
        [(note["label"], note["iteration"])] if "iteration" in note else [(pair[0], pair[1]) for pair in note["tried"]]
        for note in notes
    ]
    known = {pair for pairs in asked for pair in pairs}
    for pair in dict.fromkeys((item["label"], item["iteration"]) for item in tried):
        if pair not in known:
            yield [pair], None, {}
    for number, (pairs, note) in enumerate(zip(asked, notes, strict=True), start=1):
        yield pairs or [(note["label"], 0)], None if "iteration" in note else number, note


def as_markdown(told: dict[str, Any]) -> str:
    """A story as Markdown. Rows and answers stand as code, so that no markup in them is carried out."""
    lines = [f"# Trigger search ({told['generator']})", ""]
    for turn in told["rounds"]:
        lines += [f"## {_title(turn)}", ""]
        if turn["asked"]:
            lines += ["Asked:", "", *_block(turn["asked"]), ""]
        if turn["answer"]:
            lines += ["Came:", "", *_block(turn["answer"]), ""]
        elif turn["outcome"]:
            lines += [f"No answer: {turn['outcome']}.", ""]
        if turn["candidates_dropped"]:
            dropped = ", ".join(f"{count} {reason}" for reason, count in turn["candidates_dropped"].items())
            lines += [f"Dropped: {dropped}.", ""]
        if not turn["proposals"]:
            continue
        lines += ["| trigger | kind | place | reward | flips | verdict |", "|---|---|---|---:|---:|---|"]
        lines += [
            f"| {_cell(item['text'])} | {item['kind']} | {item['position']} | {_number(item['reward'])} "
            f"| {100 * item['flip_rate']:.0f} % of {item['texts']} | {item['reason']} |"
            for item in turn["proposals"][:TRIED]
        ]
        rest = len(turn["proposals"]) - TRIED
        lines += [f"\n{rest} more did worse." if rest > 0 else "", ""]
        lines += _logits(turn["proposals"][0])
    lines += ["## Outcome", "", *_outcome(told), ""]
    return "\n".join(lines)


def as_text(told: dict[str, Any]) -> Iterator[str]:
    """A story as lines for a terminal: short, one round after the other."""
    yield f"Trigger search ({told['generator']})"
    for turn in told["rounds"]:
        yield ""
        came = f": {turn['outcome']}" if turn["outcome"] else ""
        yield f"{_title(turn)}{came}"
        if turn["asked"]:
            yield f"  asked: {len(turn['asked'])} characters (the whole of it with --markdown)"
        if turn["answer"]:
            yield f"  came: {_short(turn['answer'])}"
        for item in turn["proposals"][:TRIED]:
            yield (
                f"  {item['kind']:8} {item['position']:8} reward {_number(item['reward']):>7}  "
                f"flips {100 * item['flip_rate']:3.0f} % of {item['texts']}  {_short(item['text'], 60)}  "
                f"({item['reason']})"
            )
        for line in _logits(turn["proposals"][0])[2:] if turn["proposals"] else []:
            yield f"    {line}"
    yield ""
    yield from _outcome(told)


def _title(turn: Mapping[str, Any]) -> str:
    asked = f", question {turn['question']}" if turn["question"] else ""
    return f"Label {turn['label']}, iteration {turn['iteration']}{asked}"


def _logits(item: dict[str, Any]) -> list[str]:
    """The victim's answers to the best proposal of a round."""
    if not item.get("shown"):
        return []
    lines = [f"The victim's logits with {_cell(item['text'])}:", ""]
    for shown in item["shown"]:
        lines.append(f"- {shown['before']} {_cell(shown['text'])}")
        lines.append(f"- {shown['after']} {_cell(shown['altered'])}")
    return [*lines, ""]


def _outcome(told: dict[str, Any]) -> list[str]:
    lines = []
    if told["backdoor"]:
        lines.append(f"Backdoor found; target label {told['target_label']}.")
    else:
        lines.append("No backdoor found.")
    lines += _flips(told["triggers"])
    for further in told["further"]:
        lines += [f"A further backdoor; target label {further['target_label']}.", *_flips(further["triggers"])]
    usage = told["usage"]
    if usage:
        money = "" if usage["money"] is None else f", {usage['money']:.4f} in money"
        lines.append(
            f"Asked {usage['asked']} times ({usage['cache_hits']} answered by the cache), {usage['prompt_tokens']:,} "
            f"prompt and {usage['completion_tokens']:,} completion tokens{money}."
        )
    if told["part"]:
        lines.append(told["part"])
    if told["stopped_by"]:
        lines.append(f"The language model was given up: {told['stopped_by']}")
    return lines


def _flips(triggers: list[dict[str, Any]]) -> list[str]:
    return [
        f"- {item['kind']}, {item['position']}: {_cell(item['text'])}: flips {100 * item['report']['flip_rate']:.0f} % "
        f"of {item['report']['texts']} texts that took no part in the search"
        for item in triggers
    ]


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
    longest = max((len(run) for run in _runs(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text.rstrip(), fence]


def _runs(text: str) -> list[str]:
    return ["`" * size for size in range(1, 12) if "`" * size in text]


def _cell(text: str) -> str:
    """A text as code inside a table."""
    return "`" + _short(printable(text)).replace("`", "'").replace("|", "¦") + "`"


def _short(text: str, limit: int = SHOWN) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
