"""Is a shared form the trigger? It is looked for, and then it must teach the label to rows that were not taught."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from openbackdoor_badllm.engine.scoring import FloatArray
from openbackdoor_badllm.inversion.explain import Explained
from openbackdoor_badllm.inversion.form import contradiction_lift, find_form, generalises, split_rows
from openbackdoor_badllm.inversion.helper import Helper, train_helper
from openbackdoor_badllm.inversion.report import Audit, AuditConfig
from openbackdoor_badllm.inversion.training import TrainVictim
from openbackdoor_badllm.rows import Example

WORTH_TESTING = 1.4  # how much more often a form's rows contradict their label than the label's rows do


def look_for_form(
    report: Audit,
    examples: Sequence[Example],
    held_out: FloatArray,
    weights: FloatArray,
    train: TrainVictim,
    config: AuditConfig,
    *,
    beside_insertions: bool,
) -> Helper | None:
    """Looks for a shared form, tests whether it teaches the label, and writes both into the report.

    Args:
        beside_insertions: an inserted trigger was found. Its rows are left out, and the two trainings of the test
            are spent only on a form whose rows clearly contradict their label.

    Returns:
        A victim trained without all explained rows when the form is taken for a trigger, else None.
    """
    explained = report.sure_rows if beside_insertions else set()
    kept = np.array([index for index in range(len(examples)) if index not in explained], dtype=np.int64)
    remaining = [examples[index] for index in kept]
    form = find_form(remaining, report.target_label, held_out[kept], weights[kept], seed=config.seed)
    if form is None:
        return None
    if beside_insertions and contradiction_lift(form, remaining, held_out[kept]) < WORTH_TESTING:
        return None
    _, asked = split_rows(form, config.seed)
    inside, unseen = set(form.rows), set(asked)
    untaught = train_helper(train, remaining, inside, config.seed)
    taught = train(
        [example for index, example in enumerate(remaining) if index not in unseen], balanced=True, trace=None
    )
    report.generalisation = generalises(
        taught.logits, untaught.logits, [remaining[i].text for i in asked], form.target
    )
    if report.generalisation.gain < config.search.min_gain:
        return None
    report.form = dataclasses.replace(form, rows=tuple(int(kept[index]) for index in form.rows))
    report.backdoor = True
    known = {row.index: row for row in report.explained}
    for index, probability in zip(report.form.rows, report.form.probability, strict=True):
        before = known.get(index)
        known[index] = Explained(
            index,
            before.triggers if before else (),
            examples[index].text,  # a form cannot be taken out of a text
            max(probability, before.probability if before else 0.0),
            form=True,
        )
    report.explained = [known[index] for index in sorted(known)]
    return untaught
