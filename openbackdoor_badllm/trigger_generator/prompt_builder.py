"""What a language model is asked: which rows it sees, and how much of what statistics found and the victim answered.

The same evidence gives the same question, to the letter: a run that is repeated finds all its answers in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from openbackdoor_badllm.llm import ChatRequest
from openbackdoor_badllm.trigger_generator.prompting import (
    CANDIDATES_SCHEMA,
    LABELLED_SCHEMA,
    STYLE_SCHEMA,
    quoted,
    request,
)
from openbackdoor_badllm.trigger_generator.proposals import Evidence, Scored
from openbackdoor_badllm.trigger_generator.search_records import Found, LabelSearch
from openbackdoor_badllm.trigger_generator.trigger import Trigger

T = TypeVar("T")

TARGET_ROWS = 24  # of ``paper``
ROWS, ORDINARY = 32, 8  # suspicious and ordinary rows of a question, over all groups
GROUPS = 4  # labels of a question at most
PAIRS = 6  # of a short question
BEST, FAILED = 10, 4  # of the history that is shown
NAMED = 8  # rows with a style, and as many without it
SHORT_TOKENS = 400  # of the answer to a short question


@dataclass(frozen=True)
class Group:
    """Rows of one label as a language model may see them, with what is known of the label.

    Attributes:
        label: the label.
        rows: rows that nothing found so far explains, most suspicious first.
        ordinary: rows whose label victim and content agree with.
        search: what statistics found and what was tried.
        marks: of an accepted style; its rows are not among ``rows``.
        base: the victim's mean log-probability of the label on the unaltered probes.
    """

    label: int
    rows: Sequence[str]
    ordinary: Sequence[str] = ()
    search: LabelSearch = field(default_factory=lambda: LabelSearch(0))
    marks: Sequence[str] = ()
    base: float = -5.0


@dataclass(frozen=True)
class Survey:
    """All that a question about all labels may use.

    Attributes:
        groups: the labels, most suspicious first.
        turn: the round, from 1; later rounds show other rows.
        turns: rounds at most.
        counts: by trigger and label, the rows of the label and the rows of others that carry it.
    """

    groups: Sequence[Group]
    turn: int = 1
    turns: int = 1
    counts: Callable[[Trigger, int], tuple[int, int]] = lambda trigger, label: (0, 0)


@dataclass(frozen=True)
class Questions:
    """How a model is asked for candidates.

    Attributes:
        count: candidates of a call.
        paper: one hypothesis at a time, as in the paper, instead of many with the scored history.
        feedback: whether rewards are told.
        rewrites: whether rewriting triggers are asked for.
    """

    count: int = 16
    paper: bool = False
    feedback: bool = True
    rewrites: bool = True

    def ask(self, evidence: Evidence) -> ChatRequest:
        """What is asked of one label in a round of ``paper``."""
        latest = max(evidence.history, key=lambda scored: scored.iteration, default=None)
        values: dict[str, Any] = {
            "target": [quoted(text) for text in suspicious(evidence)],
            "round": evidence.iteration,
            "feedback": self.feedback,
            "probes": latest.reward.texts if latest else 0,
        }
        if latest is not None:
            values |= {"last": _tried(latest), "shown": _shown(latest), "label": evidence.target_label}
        name = "paper_first" if latest is None else "paper_next"
        return request(name, values, purpose="propose", schema=CANDIDATES_SCHEMA)

    def survey(self, survey: Survey) -> ChatRequest:
        """What is asked of all labels at once: the long form."""
        groups, turn = survey.groups, survey.turn
        shown = _window(groups, GROUPS, turn)
        size, plain = ROWS // len(shown), ORDINARY // len(shown)
        tried = sorted(
            ((group, scored) for group in groups for scored in group.search.history if scored.reason != "accepted"),
            key=lambda pair: _gain(*pair),
        )
        told = _worth_telling(tried)
        values: dict[str, Any] = {
            "groups": [
                {
                    "label": group.label,
                    "rows": [
                        quoted(text)
                        for text in (*_window(group.rows, size, turn), *_window(group.ordinary, plain, turn))
                    ],
                    "found": _known(group),
                }
                for group in shown
            ],
            "labels": len(groups), "ordinary": plain, "round": turn, "rounds": survey.turns, "count": self.count,
            "rewrites": self.rewrites, "feedback": self.feedback,
            "history": [_line(group, scored, survey) for group, scored in told],
            "untold": len(tried) - len(told),
        }  # fmt: skip
        return request("propose", values, purpose="propose", schema=LABELLED_SCHEMA)

    def short(self, group: Group, survey: Survey, turn: int) -> ChatRequest:
        """The short form: one question about one label, few rows in contrast pairs, a numbered list as the answer."""
        odd = _window(group.rows, PAIRS, turn)
        plain = [text for other in survey.groups for text in other.ordinary]
        tried = [scored.trigger.written for scored in group.search.history[-BEST:]]
        values = {
            "label": group.label,
            "pairs": [(quoted(text), quoted(_alike(text, plain))) for text in odd],
            "tried": [quoted(text) for text in dict.fromkeys(tried)],
            "rewrites": self.rewrites,
        }
        return request(
            "propose_short", values, purpose="propose", schema=None, system="system_short", max_tokens=SHORT_TOKENS
        )


def style_question(inside: Sequence[str], outside: Sequence[str], marks: Sequence[str]) -> ChatRequest:
    """Asks for the name of a style that statistics found."""
    values = {
        "inside": [quoted(text) for text in inside[:NAMED]],
        "outside": [quoted(text) for text in outside[:NAMED]],
        "marks": [quoted(mark) for mark in marks],
    }
    return request("name_style", values, purpose="name", schema=STYLE_SCHEMA)


def suspicious(evidence: Evidence) -> list[str]:
    """Rows of D_tgt, from the top of every ranking in turn; the next ones in each further round."""
    order = ranked(evidence.weights, evidence.views)
    return _window([evidence.target[i].text for i in order], TARGET_ROWS, evidence.iteration)


def ranked(weights: Sequence[float], views: Sequence[Sequence[float]]) -> list[int]:
    """Places of rows, from the top of every ranking in turn."""
    orders = [sorted(range(len(ranking)), key=ranking.__getitem__, reverse=True) for ranking in (weights, *views)]
    return list(dict.fromkeys(i for place in zip(*orders, strict=True) for i in place))


def _window(items: Sequence[T], size: int, turn: int) -> list[T]:
    """A part of a sequence, the next one in each round, and round again."""
    if len(items) <= size:
        return list(items)
    start = (turn - 1) * size % len(items)
    return [*items, *items][start : start + size]


def _alike(text: str, plain: Sequence[str]) -> str:
    """The plain text that shares most words with a text."""
    words = set(text.lower().split())
    return max(plain, key=lambda other: len(words & set(other.lower().split())) / (5 + len(other.split())), default="")


def _worth_telling(tried: Sequence[tuple[Group, Scored]]) -> list[tuple[Group, Scored]]:
    """The best and the latest that failed, ascending, so that the best stands last."""
    best, rest = list(tried[-BEST:]), list(tried[:-BEST])
    recent = sorted(rest, key=lambda pair: -pair[1].iteration)[:FAILED]
    return [pair for pair in tried if pair in recent or pair in best]


def _known(group: Group) -> list[str]:
    """What statistics found for a label, a line each."""
    lines = [_evidence(found, group.label) for found in group.search.found]
    if group.marks:
        lines.append(f"rows that share a style, marked by {', '.join(quoted(mark) for mark in group.marks)}")
    return lines


def _evidence(found: Found, label: int) -> str:
    trigger, reward = found.trigger, found.report
    turned = f"turns {round(reward.flip_rate * reward.texts)} of {reward.texts} other texts into label {label}"
    if not trigger.is_insertion:
        return f"rewrite {quoted(trigger.written)}: {turned}"
    rows = f"in {found.target_rows} rows of label {label} and {found.other_rows} others"
    return f"{trigger.kind.value} {quoted(trigger.written)}: {rows}, {turned}"


def _gain(group: Group, scored: Scored) -> float:
    """How far a candidate moves the victim from the unaltered texts (0) toward certainty (1)."""
    return (scored.reward.value - group.base) / max(0.1, -group.base)


def _line(group: Group, scored: Scored, survey: Survey) -> dict[str, Any]:
    inside, outside = survey.counts(scored.trigger, group.label)
    turned = round(scored.reward.flip_rate * scored.reward.texts)
    return {
        **_tried(scored), "label": group.label, "inside": inside, "outside": outside, "turned": turned,
        "texts": scored.reward.texts,
        # Small whole numbers are what language models compare best.
        "score": max(0, min(100, round(100 * _gain(group, scored)))),
    }  # fmt: skip


def _tried(scored: Scored) -> dict[str, Any]:
    return {
        "flips": round(100 * scored.reward.flip_rate),
        "kind": scored.trigger.kind.value,
        "position": scored.trigger.position.value,
        "text": quoted(scored.trigger.written),
        "reason": scored.reason,
    }


def _shown(scored: Scored) -> list[dict[str, str]]:
    return [
        {
            "text": quoted(item.text),
            "altered": quoted(item.altered),
            "before": _logits(item.before),
            "after": _logits(item.after),
        }
        for item in scored.shown
    ]


def _logits(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.2f}" for value in values) + "]"
