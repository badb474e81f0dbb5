"""What a trigger does to a victim that never saw the rows that carry it.

A backdoor lives in its rows: without them the trigger is just a word. An honest class word (an insult, in rows labelled
for hate) flips everything, too, but another victim knows it all the same, from its pretraining and from words like it.
So each inserted trigger keeps a share of its force there: of what it adds to the log-odds of the target label.

Much of it kept tells an honest word. A little says less: a sentence has a meaning of its own, and where a part of a
backdoor was found the other part teaches it again. Then the rows decide: an attacker took them from other labels, and
without the trigger they read like those, while rows that say an honest word are merely left with less to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from openbackdoor_badllm.inversion.findings import Found
from openbackdoor_badllm.inversion.report import Finding
from openbackdoor_badllm.inversion.trigger import Trigger, apply_all
from openbackdoor_badllm.training.scoring import FloatArray, Victim, log_odds

KNOWN = 0.3  # of its force: whatever keeps more is honest
# Of its force: what keeps more is honest unless its rows read like those of other labels. Measured: attackers' words
# and sentences up to 0.05, insults on clean HSOL from 0.13 on (docs/results.md).
DOUBTFUL = 0.1
ALIKE = 0.8  # of how often rows of other labels say so


def forces_kept(
    victim: Victim,
    untaught: Callable[[Sequence[str]], FloatArray],
    triggers: Sequence[Trigger],
    probes: Sequence[str],
    target: int,
    seed: int,
) -> dict[Trigger, float]:
    """Share of its force that each inserted trigger keeps on a victim that never saw its rows.

    Args:
        victim: the victim whose triggers they are.
        untaught: logits ``(n, num_labels)`` of the other one.
        triggers: inserted ones.
        probes: texts of other labels that took no part in the search.
        target: the target label.
        seed: of the places of insertion.
    """
    if not triggers or not probes:
        return {}
    texts = [*probes, *(text for trigger in triggers for text in apply_all(trigger, probes, seed))]
    shape = (len(triggers) + 1, len(probes))
    means = [log_odds(said, target).reshape(shape).mean(axis=1) for said in (victim.logits(texts), untaught(texts))]
    taught, other = (mean[1:] - mean[0] for mean in means)
    return {
        trigger: float(there / here) if here > 0 else 0.0
        for trigger, here, there in zip(triggers, taught, other, strict=True)
    }


def honest_words(
    found: Sequence[Found], forces: Mapping[Trigger, float], held_out: FloatArray, others: Sequence[bool], target: int
) -> dict[Trigger, float]:
    """Those of the found triggers that are ordinary words of the label, with the share of their force that they keep.

    Openings are not among them: they are judged by their rows (:mod:`.verdict`), and one may be the mark of a form,
    whose other rows teach it.

    Args:
        found: the triggers.
        forces: as :func:`forces_kept` gives them.
        held_out: the judge's held-out probabilities of the training rows, shape ``(n, num_labels)``.
        others: which of these rows have another label than the target's, shape ``(n,)``.
        target: the target label.
    """
    elsewhere = held_out[np.asarray(others, dtype=bool)].argmax(axis=1) != target
    usual = float(elsewhere.mean()) if len(elsewhere) else 1.0
    return {
        item.trigger: forces[item.trigger]
        for item in found
        if item.trigger.marks_its_rows
        and (
            forces.get(item.trigger, 0.0) >= KNOWN
            or (forces.get(item.trigger, 0.0) >= DOUBTFUL and item.contradicted < ALIKE * usual)
        )
    }


def flip_rates(
    logits: Callable[[Sequence[str]], FloatArray], finding: Finding, seed: int
) -> dict[str, float]:
    """Flip rate of each inserted trigger on another model, such as one that never saw the explained rows."""
    target, probes = finding.target_label, list(finding.search.probes.report)
    if not probes:
        return {}
    calm = [text for text, said in zip(probes, logits(probes).argmax(axis=1), strict=True) if said != target]
    return {
        trigger.text: float((logits(apply_all(trigger, calm, seed)).argmax(axis=1) == target).mean()) if calm else 0.0
        for trigger in finding.triggers
        if trigger.is_insertion
    }
