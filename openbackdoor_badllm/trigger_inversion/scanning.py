"""From a sample to all rows: what was found in a sample, told in the counts and the row numbers of all rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.trigger_generator.search_records import Found
from openbackdoor_badllm.trigger_generator.stage import Findings, LabelFinding
from openbackdoor_badllm.trigger_generator.style_search import TestedStyle


def spread(findings: Findings, examples: Sequence[Example], sample: Sequence[int]) -> Findings:
    """The findings of a sample as findings of all rows.

    Inserted triggers are counted in all rows. A style keeps the rows of the sample, as which row has it is told by a
    model of the sample.

    Args:
        findings: of the sample.
        examples: all rows.
        sample: positions of its rows among them.
    """
    return dataclasses.replace(
        findings, labels=tuple(_spread(finding, examples, sample) for finding in findings.labels)
    )


def _spread(finding: LabelFinding, examples: Sequence[Example], sample: Sequence[int]) -> LabelFinding:
    found = tuple(
        _counted(item, finding.label, examples) if item.trigger.is_insertion else item for item in finding.found
    )
    style = _placed(finding.style, sample) if finding.style is not None else None
    return dataclasses.replace(finding, found=found, style=style)


def _counted(item: Found, label: int, examples: Sequence[Example]) -> Found:
    carrying = [example.label == label for example in examples if item.trigger.carries(example.text)]
    return item._replace(target_rows=sum(carrying), other_rows=len(carrying) - sum(carrying))


def _placed(tested: TestedStyle, sample: Sequence[int]) -> TestedStyle:
    rows = tuple(sample[index] for index in tested.style.rows)
    return dataclasses.replace(
        tested,
        style=dataclasses.replace(tested.style, rows=rows),
        fallen={sample[index]: value for index, value in tested.fallen.items()},
        said={sample[index]: value for index, value in tested.said.items()},
    )
