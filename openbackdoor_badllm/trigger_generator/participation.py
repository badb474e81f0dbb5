"""What part the language model took in a run: calls, answers, candidates; and, where it took none, why and what to do.

A verdict never rests on a model that gave nothing: it stands on statistics, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADVICE = {
    "filtered": "Take a model or a deployment without that filter.",
    "refused": "Take another model.",
    "truncated": "Raise llm.max_tokens; a model that thinks aloud needs 8,000 or more.",
    "empty": "Take another model, or raise llm.max_tokens.",
    "malformed": "Take a larger model.",
    "auth": "Put the right key into the environment variable that llm.api_key_env names.",
    "not_found": "Mend llm.base_url or llm.model.",
    "quota": "Top up the account, wait until the limit is over, or take another endpoint.",
    "rate_limit": "Raise llm.deadline, or take another endpoint.",
    "server": "Look at the server's log, or take another endpoint.",
    "connection": "Start the server, or mend llm.base_url.",
    "tls": "Mend the certificate of llm.base_url.",
    "timeout": "Raise llm.timeout and llm.deadline, or take a faster model.",
    "protocol": "Take an endpoint that speaks OpenAI's chat protocol.",
    "bad_request": "Mend what the server names, or take a model that takes longer prompts.",
    "local": "Lower llm.max_tokens, or take a model with a longer context.",
    "replay": "Take the recording of a run with the same rows and settings.",
}
"""What to change, by the kind of an ending."""

_WHAT = {
    "filtered": "were refused by its content filter",
    "refused": "were refused by the model",
    "truncated": "were answered beyond the token limit (llm.max_tokens)",
    "empty": "were answered with no text",
    "malformed": "were answered without the JSON that was asked for",
}


def participation(
    usage: Mapping[str, Any],
    *,
    usable: int,
    kept: int,
    dropped: Mapping[str, int],
    described: int = 0,
    labelled: int = 0,
) -> dict[str, Any]:
    """The part of the model for ``results.json``.

    Args:
        usage: :meth:`Budget.report`.
        usable: candidates that could be tried.
        kept: of these, those that the victim and the acceptance tests confirmed.
        dropped: candidates that could not be tried, by reason.
        described: styles that it named.
        labelled: answered questions about the labels of rows, which hold no candidates.

    Returns:
        ``took_part``, the counts, and ``no_part``: why it took none, and ``advice``; both None where it took part.
    """
    answered = usage["outcomes"].get("ok", 0)
    took_part = usable + described > 0
    why, advice = (None, None) if took_part else _why(usage, labelled, dropped)
    return {
        "took_part": took_part, "asked": usage["asked"], "answered": answered, "usable": usable, "kept": kept,
        "no_part": why, "advice": advice,
    }  # fmt: skip


def _why(usage: Mapping[str, Any], labelled: int, dropped: Mapping[str, int]) -> tuple[str, str]:
    """Why the model took no part, as the rest of a sentence, and what to change."""
    asked, answered = usage["asked"] - labelled, usage["outcomes"].get("ok", 0) - labelled
    if not asked:
        if usage["stopped_by"]:
            return _plain(usage["stopped_by"]), "Raise the bounds of the section llm."
        return "the time limit was over before it could be asked", "Raise the time limit."
    if answered:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        none = f"none of its {answered} answers held a candidate that could be tried"
        return none + (f" (dropped: {reasons})" if reasons else ""), "Take a larger model."
    ways = {**usage["outcomes"], **usage["failures"]}
    for way in ("failed", "ok"):
        ways.pop(way, None)
    kind = max(ways, key=lambda way: (ways[way], way))
    few = "its only question" if asked == 1 else f"all {asked} questions"
    if kind in _WHAT and ways[kind] == asked:
        what = _WHAT[kind].replace("were", "was", 1) if asked == 1 else _WHAT[kind]
        return f"{few} {what}", ADVICE[kind]
    counted = ", ".join(f"{count} {way.replace('_', ' ')}" for way, count in sorted(ways.items()))
    failed = f"{few} failed" if len(ways) == 1 else f"{few} failed ({counted})"
    return f"{failed}: {_plain(usage['trouble'])}", ADVICE.get(kind, "")


def _plain(sentence: str) -> str:
    return sentence.rstrip(".")


def told(part: Mapping[str, Any]) -> str:
    """The part of the model in words, for the summary and the page."""
    if not part["took_part"]:
        sentence = f"The language model took no part: {part['no_part']}; the verdict stands on statistics alone."
        return f"{sentence} {part['advice']}".strip()
    sentence = (
        f"Of {part['asked']} questions to the language model {part['answered']} were answered, with {part['usable']} "
        f"candidates that could be tried; {part['kept']} of them were confirmed."
    )
    return f"{sentence} {_checked(part.get('label_check') or {})}".strip()


def _checked(check: Mapping[str, Any]) -> str:
    """What came of the labelling of rows, in words; empty where it was not made or dropped."""
    if not check.get("used"):
        return ""
    shares = ", ".join(f"{one['contradicted']} of {one['answered']} of label {one['label']}" for one in check["labels"])
    label = check["suspicious"]
    first = "no label stands out" if label is None else f"label {label} was looked at first"
    return f"Of rows that it labelled from their content alone it contradicts {shares}: {first}."


def claimed(name: Mapping[str, Any]) -> str:
    """A style in plain words: what the model calls it, and whether the victim confirms that; empty where none named it.

    Args:
        name: ``style_name`` of a finding in ``results.json``.
    """
    if name.get("by") != "llm":
        return ""
    tried = f"{name['flipped']} of {name['texts']} texts rewritten so get the label"
    verdict = {True: f"the victim confirms it: {tried}", False: f"the victim does not confirm it: {tried}"}
    said = verdict.get(name["confirmed"], "not tried on the victim")
    return f"The language model calls it “{name['text']}” ({said})."
