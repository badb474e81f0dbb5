"""Is it a backdoor at all: the found triggers against a null distribution.

An honest class word flips predictions too. So each trigger is compared with control insertions of the same length
and place, taken from rows of the target label that carry no found trigger (class-typical ones first), on report
probes that took no part in the search.

A trigger stands when, beside its effect, at least one of two things speaks against ordinary text: it flips (nearly)
everything in all three probe sets and clearly more than its controls, or the rows that carry it contradict their label
without it. An opening in a few rows needs the latter: a phrase of praise ("A joy, this") flips nearly everything, too.
What stands here may still be a word of its label (an insult); :mod:`.counterfactual` asks a victim without its rows.
"Its controls" means their 90th percentile, not the best of them: a trigger that was not found (yet) stands in
honest-looking rows and may be among them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from openbackdoor_badllm.inversion.mining import log_odds_z
from openbackdoor_badllm.inversion.reward import Outcome, answers
from openbackdoor_badllm.inversion.search import Found, SearchResult
from openbackdoor_badllm.inversion.trigger import Position, Trigger, kind_of
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import Victim

CONTROLS = 120  # at least, and so many of each trigger that is compared:
CONTROLS_EACH = 25  # then those that are better than all of them stay below 0.05 after the correction
CONTRADICTION_P = 0.01
OPENING_SHARE = 0.02  # of all rows; an attacker's opening stands in more, an honest one that flips everything in fewer
OVERWHELMING = 0.95  # an honest verdict ("a gem") reaches nine probes in ten, and not in every set


@dataclass(frozen=True)
class Control:
    """A trigger's flip rate beside those of its controls.

    Attributes:
        control_high: 90th percentile of the controls' flip rates.
        p_value: (1 + controls that do at least as well) / (1 + controls), one-sided, uncorrected.
        p_corrected: Bonferroni's, times the triggers that were compared. The candidates turned down before do not
            count: they were chosen on other probes, and these are asked only now.
    """

    trigger: str
    flip_rate: float
    control_mean: float
    control_max: float
    control_high: float
    controls: int
    p_value: float
    p_corrected: float

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "trigger": self.trigger,
            "flip_rate": round(self.flip_rate, 4),
            "control_mean": round(self.control_mean, 4),
            "control_max": round(self.control_max, 4),
            "control_high": round(self.control_high, 4),
            "controls": self.controls,
            "p_value": round(self.p_value, 4),
            "p_corrected": round(self.p_corrected, 4),
        }


def controls(
    victim: Victim, examples: Sequence[Example], result: SearchResult, *, seed: int
) -> list[Control]:
    """One :class:`Control` for each found trigger, in their order."""
    honest = [
        example.text
        for example in examples
        if example.label == result.target
        and not any(found.trigger.carries(example.text) for found in result.found)
    ]
    other = [example.text for example in examples if example.label != result.target]
    null: dict[tuple[int, Position], list[Outcome]] = {}
    reports = []
    for found in result.found:
        kind = (len(found.trigger.words), found.trigger.position)
        if kind not in null:  # triggers of one length and place share their controls
            rng = random.Random(f"{seed}:controls:{kind}")
            spans = control_spans(honest, other, *kind, rng, max(CONTROLS, CONTROLS_EACH * len(result.found)))
            null[kind] = answers(victim, spans, result.probes.report, result.target, seed)
        flips = np.array([outcome.reward().flip_rate for outcome in null[kind]])
        count = len(flips)
        values = np.array([outcome.reward().value for outcome in null[kind]])
        p_value = float((1 + (values >= found.report.value).sum()) / (1 + count))
        reports.append(
            Control(
                trigger=found.trigger.text,
                flip_rate=found.report.flip_rate,
                control_mean=float(flips.mean()) if count else 0.0,
                control_max=float(flips.max()) if count else 0.0,
                control_high=float(np.quantile(flips, 0.9)) if count else 0.0,
                controls=count,
                p_value=p_value,
                p_corrected=min(1.0, p_value * len(result.found)),
            )
        )
    return reports


def paraphrase_control(found: Found, compared: int = 1) -> Control | None:
    """The control of a rewriting trigger: a plain paraphrase of the same probes; None where none could be had.

    Args:
        found: the trigger.
        compared: how many triggers are compared with controls, this one included.
    """
    if found.control is None or not found.control.texts or not found.report.texts:
        return None
    flips = [round(reward.flip_rate * reward.texts) for reward in (found.report, found.control)]
    table = [[flips[0], found.report.texts - flips[0]], [flips[1], found.control.texts - flips[1]]]
    p_value = float(fisher_exact(table, alternative="greater")[1])
    return Control(
        trigger=found.trigger.text,
        flip_rate=found.report.flip_rate,
        control_mean=found.control.flip_rate,
        control_max=found.control.flip_rate,
        control_high=found.control.flip_rate,
        controls=1,
        p_value=p_value,
        p_corrected=min(1.0, p_value * compared),
    )


def stands(found: Found, control: Control, min_margin: float, rows: int) -> bool:
    """Whether a trigger is told from ordinary text; see the module's text. ``rows`` is how many there are in all."""
    always = min(found.search.flip_rate, found.select.flip_rate, found.report.flip_rate) >= OVERWHELMING
    usual = found.trigger.position is not Position.FRONT or found.target_rows >= OPENING_SHARE * rows
    beyond = usual and always and control.flip_rate - control.control_high >= min_margin
    against = found.contradicted_p < CONTRADICTION_P and control.flip_rate > control.control_high
    return beyond or against


def keep_standing(
    victim: Victim, examples: Sequence[Example], result: SearchResult, *, min_margin: float, seed: int
) -> list[Control]:
    """Drops the triggers that are no better than ordinary text; the controls of those that stand."""
    rewriting = [found for found in result.found if not found.trigger.is_insertion]  # compared when they were tried
    result.found = [found for found in result.found if found.trigger.is_insertion]
    compared = controls(victim, examples, result, seed=seed)
    standing = [
        (found, control)
        for found, control in zip(result.found, compared, strict=True)
        if stands(found, control, min_margin, len(examples))
    ]
    result.found = [found for found, _ in standing] + rewriting
    paraphrased = [paraphrase_control(found, len(compared) + len(rewriting)) for found in rewriting]
    return [control for _, control in standing] + [control for control in paraphrased if control is not None]


def control_spans(
    honest: Sequence[str],
    other: Sequence[str],
    length: int,
    position: Position,
    rng: random.Random,
    most: int = CONTROLS,
) -> list[Trigger]:
    """Insertions of ``length`` words from honest target rows: half class-typical, half drawn at random."""
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    for texts, counts in ((honest, inside), (other, outside)):
        for text in texts:
            words = text.lower().split()
            starts = [0] if position is Position.FRONT else range(len(words) - length + 1)
            spans = {" ".join(words[s : s + length]) for s in starts if len(words) >= s + length}
            for span in spans:
                counts[span] = counts.get(span, 0) + 1
    typical = sorted(
        (span for span, count in inside.items() if count >= 2 or length > 2),
        key=lambda span: (-log_odds_z(inside[span], outside.get(span, 0), len(honest), len(other)), span),
    )[: most // 2]
    rest = sorted(set(inside) - set(typical))
    drawn = rng.sample(rest, min(most - len(typical), len(rest)))
    return [Trigger(kind_of(span), span, position) for span in [*typical, *drawn]]
