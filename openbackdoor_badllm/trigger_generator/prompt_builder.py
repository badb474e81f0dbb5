"""What a language model is asked in a round: which rows it sees, and how much of what was tried.

The same evidence gives the same question, to the letter: a run that is repeated finds all its answers in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.llm import ChatRequest
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.prompting import CANDIDATES_SCHEMA, quoted, request
from openbackdoor_badllm.trigger_generator.proposals import Evidence, Scored

TARGET_ROWS, OTHER_ROWS = 24, 12
BEST, FAILED = 10, 4  # of the history that is shown


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
        """What is asked in a round; the same evidence gives the same question."""
        latest = max(evidence.history, key=lambda scored: scored.iteration, default=None)
        values: dict[str, Any] = {
            "target": [quoted(text) for text in _suspicious(evidence)],
            "round": evidence.iteration,
            "feedback": self.feedback,
            "probes": latest.reward.texts if latest else 0,
        }
        if self.paper and latest is None:
            name = "paper_first"
        elif self.paper and latest is not None:
            name = "paper_next"
            values |= {"last": _line(latest), "shown": _shown(latest), "label": evidence.target_label}
        else:
            name = "propose"
            values |= {
                "other": [quoted(example.text) for example in _spread(evidence.other, OTHER_ROWS, evidence.iteration)],
                "rounds": evidence.iterations,
                "count": self.count,
                "rewrites": self.rewrites,
                "found": [f"{trigger.kind.value}: {quoted(trigger.text)}" for trigger in evidence.found],
                "history": [_line(scored) for scored in _worth_showing(evidence.history)],
            }
        return request(name, values, purpose="propose", schema=CANDIDATES_SCHEMA)


def _suspicious(evidence: Evidence) -> list[str]:
    """Rows of D_tgt, from the top of every ranking in turn; the next ones in each further round."""
    rankings = [evidence.weights, *evidence.views]
    orders = [sorted(range(len(ranking)), key=ranking.__getitem__, reverse=True) for ranking in rankings]
    mixed = list(dict.fromkeys(i for place in zip(*orders, strict=True) for i in place))
    if len(mixed) <= TARGET_ROWS:
        return [evidence.target[i].text for i in mixed]
    start = (evidence.iteration - 1) * TARGET_ROWS % len(mixed)
    return [evidence.target[i].text for i in (mixed + mixed)[start : start + TARGET_ROWS]]


def _spread(examples: Sequence[Example], count: int, turn: int) -> list[Example]:
    """Rows evenly over a sequence, others each round."""
    if len(examples) <= count:
        return list(examples)
    step = len(examples) / count
    return [examples[(int(k * step) + turn) % len(examples)] for k in range(count)]


def _worth_showing(history: Sequence[Scored]) -> list[Scored]:
    """The best of the history and the latest that failed, ascending, so that the best stands last."""
    best = list(history[-BEST:])
    rest = list(history[:-BEST])
    recent = sorted(rest, key=lambda scored: -scored.iteration)[:FAILED]
    return [scored for scored in history if scored in recent or scored in best]


def _line(scored: Scored) -> dict[str, Any]:
    reward = scored.reward
    return {
        # -CE of 0 is 100; one of -5 nats or worse is 0: small whole numbers are what language models compare best.
        "score": max(0, min(100, round(100 + 20 * max(reward.value, -5.0)))),
        "flips": round(100 * reward.flip_rate),
        "kind": scored.trigger.kind.value,
        "position": scored.trigger.position.value,
        "text": quoted(scored.trigger.text),
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
