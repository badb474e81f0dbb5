"""The trigger at work: what victims say of probe texts with it."""

from __future__ import annotations

from openbackdoor_badllm.inversion.report import Demonstration, Finding
from openbackdoor_badllm.inversion.trigger import apply_all
from openbackdoor_badllm.training.scoring import Victim, softmax


def demonstrate(victim: Victim, finding: Finding, seed: int, count: int = 5) -> list[Demonstration]:
    """Some texts with a trigger: the victim's answer before and after. Empty where a form alone was found.

    Inserted triggers take turns on report probes, which took no part in the search; a rewriting one is shown on rows
    that were rewritten for the repair.
    """
    inserted = [trigger for trigger in finding.triggers if trigger.is_insertion]
    if inserted:
        texts = sorted(finding.search.probes.report, key=len)[: count * 3 : 3]
        pairs = [
            (text, apply_all(inserted[place % len(inserted)], [text], seed)[0]) for place, text in enumerate(texts)
        ]
    else:
        shortest = sorted(finding.rewritten, key=lambda pair: len(pair[0].text))
        pairs = [(row.text, copy.text) for row, copy in shortest[: count * 3 : 3]]
    if not pairs:
        return []
    probabilities = softmax(victim.logits([text for pair in pairs for text in pair]))
    return [
        Demonstration(
            text, altered, int(before.argmax()), int(after.argmax()),
            float(before[finding.target_label]), float(after[finding.target_label]),
        )
        for (text, altered), before, after in zip(pairs, probabilities[::2], probabilities[1::2], strict=True)
    ]
