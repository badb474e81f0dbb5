"""What a style that statistics found is called: by a language model in plain words, else by its marks.

A model's name is a claim. Where it can, the victim confirms it: a few ordinary texts are rewritten as the model says
the style is written, and the victim is asked whether that leads to the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
from openbackdoor_badllm.trigger_generator.prompt_builder import NAMED
from openbackdoor_badllm.trigger_generator.reward import answer
from openbackdoor_badllm.trigger_generator.rewriting.faithful import Faithful
from openbackdoor_badllm.trigger_generator.shared_style import SharedStyle

MARKS = 5
CONFIRMING = 8  # texts that are rewritten to confirm a name
FEWEST = 4  # rewritten texts; with fewer a flip rate says nothing


@dataclass(frozen=True)
class StyleName:
    """A style in plain words.

    Attributes:
        text: the name.
        by: who says so, ``llm`` or ``marks``.
        instruction: how a text is rewritten in it, as the language model says.
        confirmed: whether rewritten texts get the label; None where that was not tried.
        flipped: rewritten texts that the victim gives the label.
        texts: rewritten texts.
    """

    text: str
    by: str = "marks"
    instruction: str = ""
    confirmed: bool | None = None
    flipped: int = 0
    texts: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return asdict(self)


def named_by_marks(marks: Sequence[str]) -> StyleName:
    """The name of a style that nobody has named."""
    shown = ", ".join(f'"{mark}"' for mark in marks[:MARKS])
    return StyleName(f"A style or syntax marked by {shown}" if shown else "A style or syntax of its own")


def name_style(
    style: SharedStyle,
    evidence: RowEvidence,
    victim: Classifier,
    llm: LLMGenerator,
    probes: Sequence[str],
    config: AuditConfig,
) -> StyleName:
    """The name of a style by a language model, confirmed by the victim or not; by its marks where none came.

    Args:
        style: the style.
        evidence: the training rows.
        victim: gives rewritten texts the label, or not.
        llm: names the style and writes in it.
        probes: texts of other labels that took no part in the search.
        config: how.
    """
    order = sorted(range(len(style.rows)), key=lambda place: -style.probability[place])
    inside = [evidence.examples[style.rows[place]].text for place in order[:NAMED]]
    ordinary = np.flatnonzero(evidence.ordinary & (evidence.labels != style.label))
    step = max(1, len(ordinary) // NAMED)
    outside = [evidence.examples[int(i)].text for i in ordinary[::step][:NAMED]]
    named = llm.name_style(inside, outside, style.marks[:MARKS])
    if named is None:
        return named_by_marks(style.marks)
    name, instruction = named
    if not instruction or not config.search.rewrites:
        return StyleName(name, "llm", instruction)
    texts = [text for text in probes if llm.rewritable(text)][:CONFIRMING]
    came = zip(texts, llm.rewrite(instruction, texts), strict=True)
    rewrites = [new for _, new in Faithful(evidence, config.seed).kept([(a, b) for a, b in came if b is not None])]
    reward = answer(victim, rewrites, style.label).reward()
    enough = len(rewrites) >= FEWEST
    confirmed = reward.flip_rate >= config.thresholds.rewrite_flip_rate if enough else None
    return StyleName(name, "llm", instruction, confirmed, round(reward.flip_rate * len(rewrites)), len(rewrites))
