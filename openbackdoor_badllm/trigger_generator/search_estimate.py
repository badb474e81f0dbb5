"""What a search with a language model may cost, told before anything is spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from openbackdoor_badllm.llm import Budget, LLMConfig, Usage
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import SearchConfig
from openbackdoor_badllm.target_identification.label_check import BATCH as BATCH_LABELLED
from openbackdoor_badllm.target_identification.label_check import LABELS
from openbackdoor_badllm.trigger_generator.generators import questions_of
from openbackdoor_badllm.trigger_generator.prompt_builder import Group, Survey
from openbackdoor_badllm.trigger_generator.proposals import Evidence
from openbackdoor_badllm.trigger_generator.rewriting.rewriter import BATCH, rewrite_request

CANDIDATE_TOKENS = 60  # one candidate as JSON, as models write it


class SearchEstimate(NamedTuple):
    """Calls and tokens of a whole search; a cache or an early find makes them fewer."""

    proposals: int
    """Calls for candidates at most."""
    rewrites: int
    """Calls for rewrites at most."""
    labels: int
    """Calls by which rows are labelled at most."""
    calls: int
    """Calls at most, bounds of the config included."""
    prompt_tokens: int
    completion_tokens: int
    """If every answer is as long as it may be."""
    likely_completion_tokens: int
    forwards: int
    """Texts that the victim is asked about, about."""
    money: float | None

    def __str__(self) -> str:
        money = "" if self.money is None else f", at most {self.money:.4f} in money"
        return (
            f"at most {self.calls} calls ({self.labels} to label rows, {self.proposals} for candidates, "
            f"{self.rewrites} for rewrites, before bounds), about {self.prompt_tokens:,} prompt tokens and "
            f"{self.likely_completion_tokens:,} completion tokens (at most {self.completion_tokens:,}){money}; about "
            f"{self.forwards:,} victim forwards"
        )


def estimate_search(
    llm: LLMConfig, search: SearchConfig, examples: Sequence[Example], *, labels: int
) -> SearchEstimate | None:
    """What the search may cost; asks nobody. None where no language model is asked.

    Args:
        llm: the section ``defender.llm``.
        search: the section ``defender.search``.
        examples: the training rows.
        labels: labels searched at most.
    """
    if llm.backend == "offline" or search.strategy == "random" or not examples:
        return None
    budget = Budget.from_config(llm)
    label = Counter(example.label for example in examples).most_common(1)[0][0]
    target = [example for example in examples if example.label == label]
    other = [example for example in examples if example.label != label]
    questions = questions_of(search)
    pool = search.strategy == "pool"
    groups = [Group(value, *(_texts(examples, value),) * 2) for value in sorted({row.label for row in examples})]
    alone = Evidence(label, target, other, [1.0] * len(target))
    asked = questions.survey(Survey(groups)) if pool else questions.ask(alone)
    batch = rewrite_request("x" * 200, [example.text for example in (other or target)[:BATCH]])

    labels = min(labels, len({example.label for example in examples}))
    rounds = search.iterations if search.refine else 1
    proposals = rounds if pool else labels * rounds
    per_set = math.ceil(search.rewrite_probes / BATCH)
    tried = proposals * search.rewrites_per_round * per_set
    once = 5 * per_set + math.ceil(search.rewrite_copies / BATCH)
    rewrites = tried + once if search.rewrites else 0
    checks = math.ceil(min(labels, LABELS) * search.label_rows / BATCH_LABELLED) if pool and labels > 1 else 0
    calls = min(checks + proposals + rewrites, llm.max_calls or checks + proposals + rewrites)
    first = min(checks + proposals, calls)  # questions of about the same length: both show forty rows
    one, many = (budget.worst(replace(request, max_tokens=llm.max_tokens)) for request in (asked, batch))
    prompt = first * one.prompt_tokens + (calls - first) * many.prompt_tokens
    likely = first * questions.count * CANDIDATE_TOKENS + (calls - first) * many.prompt_tokens
    return SearchEstimate(
        proposals=proposals,
        rewrites=rewrites,
        labels=checks,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=calls * llm.max_tokens,
        likely_completion_tokens=min(likely, calls * llm.max_tokens),
        forwards=proposals * questions.count * search.probe_rows + rewrites * BATCH,
        money=budget.limits.money(Usage(prompt, calls * llm.max_tokens)),
    )


def _texts(examples: Sequence[Example], label: int) -> list[str]:
    return [example.text for example in examples if example.label == label]
