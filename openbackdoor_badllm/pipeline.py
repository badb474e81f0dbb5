"""The method on one training set: (a) target identification -> (b) trigger generator -> (c) trigger inversion.

It knows no framework: it gets labelled texts and a victim, and answers the four questions (is there a backdoor, which
label, which trigger, which rows) with the repaired rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from openbackdoor_badllm.deadline import Deadline, Laps
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.protocols import Encoder, Victim
from openbackdoor_badllm.report import AuditReport
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.target_identification.label_check import check_labels
from openbackdoor_badllm.target_identification.stage import identify
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
from openbackdoor_badllm.trigger_generator.proposals import Generator
from openbackdoor_badllm.trigger_generator.stage import find_backdoors
from openbackdoor_badllm.trigger_inversion.scanning import spread
from openbackdoor_badllm.trigger_inversion.stage import invert


def run_audit(
    examples: Sequence[Example],
    victim: Victim,
    encoder: Encoder,
    *,
    num_labels: int,
    generator: Generator | None = None,
    config: AuditConfig | None = None,
    progress: Progress | None = None,
    sample: Sequence[int] | None = None,
    deadline: Deadline | None = None,
    class_names: Sequence[str] = (),
) -> AuditReport:
    """Looks for a backdoor in a training set, and repairs the rows.

    Args:
        examples: the training rows, without poison flags.
        victim: a classifier that was trained on them: its loss is the reward of the search.
        encoder: the frozen encoder of the content reference.
        num_labels: number of classes.
        generator: an LLM that labels some rows and adds triggers to those that statistics find; statistics alone when
            None.
        config: how.
        progress: listener.
        sample: positions of the rows that stages (a) and (b) look at; the triggers that they find are looked for in all
            rows. All rows when None.
        deadline: no further label is searched once it has passed; one label always is.
        class_names: in the order of their indices; without them an LLM labels no rows.

    Raises:
        DataError: the rows have one class only, or none of the given target label.
        UserError: the LLM took no part, and it is required.
    """
    config, progress = config or AuditConfig(), progress or Quiet()
    searched = list(examples) if sample is None else [examples[place] for place in sample]
    check(searched, num_labels, config.target_label)
    clock = Laps()

    progress.stage("(a) target identification")
    evidence, identification = identify(searched, victim, encoder, num_labels, config)
    if isinstance(generator, LLMGenerator):
        progress.stage("(a) label check by the language model")
        evidence, identification = check_labels(
            generator, evidence, identification, class_names, config, victim.trace, deadline
        )
    clock.lap("target identification")

    progress.stage("(b) trigger search")
    labels = identification.labels
    findings = find_backdoors(victim, evidence, labels, generator, config, progress, deadline)
    clock.lap("trigger search")

    progress.stage(f"(c) trigger inversion: {config.repair}")
    if sample is not None:
        findings = spread(findings, examples, sample)
    inverted = invert(findings, victim, evidence, config, examples, sample)
    clock.lap("trigger inversion")

    return AuditReport(
        inverted.backdoors, findings.generator, identification, findings.searches, findings.styles, inverted.repair,
        inverted.fine_tuning, inverted.probes, findings.llm, victim.trace, clock.laps, findings.unsearched,
        findings.unasked,
    )


def check(examples: Sequence[Example], num_labels: int, target_label: int | None) -> None:
    """Refuses rows that cannot be audited.

    Raises:
        DataError: one class only, a label outside the classes, or no row of the given target label.
    """
    labels = {example.label for example in examples}
    if len(labels) < 2:
        raise DataError(
            f"The training rows have {len(labels)} class(es); a defence needs rows of at least 2 classes."
        )
    outside = sorted(label for label in labels if not 0 <= label < num_labels)
    if outside:
        raise DataError(
            f"The training rows have the label {outside[0]}, but the victim has classes 0 to {num_labels - 1}: set "
            "the victim's num_classes, or mend the labels."
        )
    if target_label is not None and target_label not in labels:
        raise DataError(f"No training row has the target label {target_label}; the labels are {sorted(labels)}.")
