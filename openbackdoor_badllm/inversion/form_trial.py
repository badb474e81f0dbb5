"""Is a shared form the trigger? It is looked for, and then it must teach the label to rows that were not taught."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.inversion.explain import Explained
from openbackdoor_badllm.inversion.form import (
    Form,
    carriers,
    carries_over,
    contradiction_lift,
    find_form,
    generalises,
    split_rows,
)
from openbackdoor_badllm.inversion.helper import Helper, train_helper
from openbackdoor_badllm.inversion.report import AuditConfig, Finding
from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray, Victim, log_odds

WORTH_TESTING = 1.4  # how much more often a form's rows contradict their label than the label's rows do
HALF = 0.5  # of `min_moved` is enough where something else speaks for a form, too
LOUD = 0.8  # from this surprise of stage (a) on it does: clean sets reached 0.62, the forms of AG News 0.89 to 0.96
CARRIED = 0.25  # share of other texts that a form row must take to the label, beyond what it says by itself
BY_CHANCE = 0.01  # where nearly all rows say the label by themselves, one or two make a large share of the rest
SAME = 0.6  # share of an inserted trigger's rows that carry the form, from which on it is a mark of the form ("thou")


def look_for_form(
    finding: Finding,
    examples: Sequence[Example],
    held_out: FloatArray,
    weights: FloatArray,
    victim: Victim,
    train: TrainVictim,
    config: AuditConfig,
    *,
    beside_insertions: bool,
    sparing: bool,
    surprise: float = 0.0,
) -> Helper | None:
    """Looks for a shared form, tests whether it teaches the label, and writes both into the finding.

    Args:
        victim: trained on all rows.
        surprise: of the label in stage (a) (:mod:`.target`).
        beside_insertions: an inserted trigger was found; its rows are left out unless they carry the form, too.
        sparing: spend the two trainings of the test only on a form whose rows clearly contradict their label.

    Returns:
        A victim trained without all explained rows when the form is taken for a trigger, else None.
    """
    kept, form = _find(finding, examples, held_out, weights, config, beside_insertions=beside_insertions)
    if form is None:
        return None
    remaining = [examples[index] for index in kept]
    if sparing and contradiction_lift(form, remaining, held_out[kept]) < WORTH_TESTING:
        return None
    learnt, asked = split_rows(form, config.seed)
    inside = set(form.rows)
    untaught = train_helper(train, remaining, inside, config.seed)
    taught = _without(asked, remaining, train)
    without = _without_inserted_words(finding)  # these would move a row whatever its form is
    texts = [without.get(int(kept[i]), remaining[i].text) for i in asked]
    finding.generalisation = generalises(taught.logits, untaught.logits, texts, form.target)
    rewriting = any(not trigger.is_insertion for trigger in finding.triggers)
    # A rewriting trigger has shown that there is a form; all that is asked is whether these are its rows.
    told = finding.generalisation
    least = config.search.min_moved * (HALF if rewriting or surprise >= LOUD else 1.0)
    if told.moved < least or told.p_value >= BY_CHANCE:
        return None
    if not rewriting:  # that one has been tried on texts of other labels
        texts = [remaining[index].text for index in form.rows]
        random.Random(f"{config.seed}:carried").shuffle(texts)
        carried = carries_over(victim.logits, untaught.logits, texts, finding.search.probes.report, form.target)
        finding.generalisation = dataclasses.replace(told, carried=carried)
        if carried is not None and carried < CARRIED:
            return None
    finding.form = form.among(kept)
    finding.backdoor = True
    # The halves in turn, so that each row is asked about by a victim that has not seen it.
    gained = np.zeros(len(remaining), dtype=np.float32)
    for unseen, other in ((asked, taught), (learnt, _without(learnt, remaining, train))):
        texts = [remaining[index].text for index in unseen]
        gained[unseen] = log_odds(other.logits(texts), form.target) - log_odds(untaught.logits(texts), form.target)
    probabilities = carriers(form.probability, gained[list(form.rows)])
    known = {row.index: row for row in finding.explained}
    for index, probability in zip(finding.form.rows, probabilities.tolist(), strict=True):
        before = known.get(index)
        known[index] = Explained(
            index,
            before.triggers if before else (),
            examples[index].text,  # a form cannot be taken out of a text
            max(probability, before.probability if before else 0.0),
            form=True,
        )
    finding.explained = [known[index] for index in sorted(known)]
    return untaught


def _without_inserted_words(finding: Finding) -> dict[int, str]:
    """Texts of the rows that inserted words explain, without them."""
    return {
        row.index: row.text_without
        for row in finding.explained
        if any(trigger.marks_its_rows for trigger in row.triggers)
    }


def _without(left_out: Sequence[int], examples: Sequence[Example], train: TrainVictim) -> Victim:
    """A victim that never saw some rows."""
    unseen = set(left_out)
    return train([example for index, example in enumerate(examples) if index not in unseen], balanced=True, trace=None)


def _find(
    finding: Finding,
    examples: Sequence[Example],
    held_out: FloatArray,
    weights: FloatArray,
    config: AuditConfig,
    *,
    beside_insertions: bool,
) -> tuple[npt.NDArray[np.int64], Form | None]:
    """The form, and the rows among which it was looked for; its indices count in them.

    Rows that an inserted trigger explains are left out, unless most of them carry the form: then the words are a mark
    of it, and without their rows the form would be told less well.
    """
    everything = np.arange(len(examples), dtype=np.int64)
    form = find_form(examples, finding.target_label, held_out, weights, seed=config.seed)
    explained = finding.suspects if beside_insertions else set()
    if not explained or (form is not None and len(explained & set(form.rows)) >= SAME * len(explained)):
        return everything, form
    kept = np.array([index for index in everything if index not in explained], dtype=np.int64)
    remaining = [examples[index] for index in kept]
    return kept, find_form(remaining, finding.target_label, held_out[kept], weights[kept], seed=config.seed)
