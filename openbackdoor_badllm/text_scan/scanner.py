"""The scan of labelled texts: all patterns held against all labels, and the content of their rows against the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from openbackdoor_badllm.deadline import Laps
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.text_scan import content
from openbackdoor_badllm.text_scan.counting import counted, mined_rows
from openbackdoor_badllm.text_scan.deciding import Decision, Rules, decide
from openbackdoor_badllm.text_scan.duplicates import Duplicates, duplicates
from openbackdoor_badllm.text_scan.judging import Bounds, Candidate, binding_p, bound, weigh
from openbackdoor_badllm.text_scan.pairs import Pair, pairs
from openbackdoor_badllm.text_scan.patterns import mine
from openbackdoor_badllm.text_scan.records import Degree, Finding, TextScan
from openbackdoor_badllm.text_scan.signs import HIDDEN, sign_families, tokenizer_sees
from openbackdoor_badllm.text_scan.units import IntArray, Units, as_units
from openbackdoor_badllm.text_scan.wording import sentence, what

FEWEST_ROWS = 5
ROW_SHARE = 0.001  # a pattern in a smaller share of the rows is not looked at

Tokens = Callable[[str], Sequence[object]]


def scan(
    texts: Sequence[str],
    labels: Sequence[int],
    num_labels: int,
    *,
    label_names: Sequence[str] | None = None,
    tokens: Tokens | None = None,
    bounds: Bounds | None = None,
    seed: int = 42,
) -> TextScan:
    """Looks for planted triggers in labelled texts, without a victim.

    Args:
        texts: the texts.
        labels: their labels, 0-based.
        num_labels: number of labels.
        label_names: names of the labels in their order, for the sentences.
        tokens: the victim's tokenizer, text to tokens: tells whether it sees a suspicious sign.
        bounds: every bound of a decision.
        seed: of the folds of the content model.

    Raises:
        DataError: there are not as many labels as texts, a label is none of the classes, or a name is missing.
    """
    _check(texts, labels, num_labels, label_names)
    clock = Laps()
    numbers = np.asarray(labels, dtype=np.int64)
    label_counts = np.bincount(numbers, minlength=num_labels)
    names = list(label_names) if label_names is not None else [str(label) for label in range(num_labels)]
    rows = mined_rows(texts, labels, seed)
    mined = texts if rows is None else [texts[row] for row in rows]
    bounds = bounds or Bounds()
    found = _mined(mined, numbers if rows is None else numbers[rows], num_labels, bounds, seed, clock)
    decisions, hidden = found.decisions, found.hidden
    if rows is not None:
        decisions, hidden = counted(decisions, found.units, texts, numbers, num_labels)
        clock.lap("all rows")
    twice = duplicates(texts, numbers, found.units, rows)
    clock.lap("duplicates")
    findings = [_finding(decision, found.comparisons, label_counts, names, texts, tokens) for decision in decisions]
    findings += _anywhere(hidden, findings, numbers, num_labels) + _of_duplicates(twice, numbers, num_labels)
    findings.sort(key=lambda finding: (finding.degree is not Degree.SUSPICIOUS, -len(finding.rows)))
    return TextScan(
        tuple(findings), tuple(label_counts.tolist()), found.comparisons, found.accuracy, twice.exact, len(mined),
        clock.laps,
    )


class _Mined(NamedTuple):
    """What some rows hold.

    Attributes:
        decisions: patterns bound to a label that are told.
        hidden: rows with each group of hidden signs.
        comparisons: patterns times labels.
        accuracy: of the content model.
        units: of the texts.
    """

    decisions: list[Decision]
    hidden: dict[str, IntArray]
    comparisons: int
    accuracy: float | None
    units: Units


def _mined(
    texts: Sequence[str], labels: IntArray, num_labels: int, bounds: Bounds, seed: int, clock: Laps
) -> _Mined:
    label_counts = np.bincount(labels, minlength=num_labels)
    units = as_units(texts)
    least = max(FEWEST_ROWS, int(ROW_SHARE * len(texts)))
    clock.lap("units")
    families = [*mine(units, least), *sign_families(texts)]
    pairs_found, pairs_compared = pairs(units, labels, num_labels, least)
    comparisons = sum(len(family) for family in families) * num_labels + pairs_compared
    clock.lap("patterns")
    candidates = [item for family in families for item in bound(family, units, labels, label_counts, bounds)]
    candidates += [_of_pair(pair, units, labels, label_counts) for pair in pairs_found]
    model = content.fit(units, labels, num_labels, seed)
    weighed = weigh(candidates, model)

    def again(edges: Sequence[Candidate], rows: IntArray) -> list[Candidate]:
        return weigh(edges, content.fit(units, labels, num_labels, seed, rows))

    decisions = decide(weighed, Rules(bounds, comparisons, label_counts), again)
    hidden = {
        name: family.row[family.span(index)]
        for family in families if family.kind == "character"
        for index, name in enumerate(family.names or ()) if name in HIDDEN
    }
    clock.lap("tests")
    return _Mined(decisions, hidden, comparisons, None if model is None else model.accuracy, units)


def _check(
    texts: Sequence[str], labels: Sequence[int], num_labels: int, label_names: Sequence[str] | None
) -> None:
    if isinstance(texts, str):
        raise DataError("The texts should be a list, but are one text: put it into a list.")
    if len(texts) != len(labels):
        raise DataError(f"Each of {len(texts)} texts should have a label, but there are {len(labels)}: add the others.")
    outside = next((label for label in labels if not 0 <= label < num_labels), None)
    if outside is not None:
        raise DataError(f"Labels should be 0 to {num_labels - 1}, but one is {outside}: mend it, or set num_labels.")
    other = next((text for text in texts if not isinstance(text, str)), "")
    if not isinstance(other, str):
        raise DataError(f"The texts should be strings, but one is of type {type(other).__name__}: convert it.")
    if label_names is not None and len(label_names) != num_labels:
        raise DataError(f"There should be {num_labels} label names, but there are {len(label_names)}: name each label.")


def _of_pair(pair: Pair, units: Units, labels: IntArray, label_counts: IntArray) -> Candidate:
    counts = np.bincount(labels[pair.rows], minlength=len(label_counts))
    label = int(counts.argmax())
    one, other = (units.vocabulary[unit] for unit in pair.units)
    return Candidate(
        "pair", f"{one} ... {other}", label, tuple(counts.tolist()), pair.rows[labels[pair.rows] == label],
        np.array(pair.units, dtype=np.int64), float(binding_p(counts[None], label_counts, label)[0]), size=2,
    )


def _finding(
    decision: Decision, comparisons: int, label_counts: IntArray, names: Sequence[str], texts: Sequence[str],
    tokens: Tokens | None,
) -> Finding:
    candidate = decision.candidate
    seen = tokenizer_sees(candidate.name, [texts[row] for row in candidate.rows[:20]], tokens) if (
        tokens is not None and candidate.kind == "character"
    ) else None
    return Finding(
        kind="shortcut" if decision.why == "shortcut" else candidate.kind,
        degree=decision.degree,
        what=what(candidate),
        label=candidate.label,
        counts=candidate.counts,
        p_value=min(1.0, candidate.binding * comparisons),
        rows=tuple(candidate.rows.tolist()),
        contradiction=candidate.content,
        neighbours=max(candidate.neighbours, default=None),
        together=tuple(what(item) for item in decision.together),
        seen=seen,
        sentence=sentence(decision, label_counts.tolist(), names, seen),
    )


def _anywhere(
    hidden: Mapping[str, IntArray], findings: Sequence[Finding], labels: IntArray, num_labels: int
) -> list[Finding]:
    """Groups of hidden signs that are bound to no label: odd enough to be told."""
    told = {finding.what for finding in findings} | {name for finding in findings for name in finding.together}
    return [
        Finding(
            "character", Degree.WORTH_A_LOOK, name, None,
            tuple(np.bincount(labels[rows], minlength=num_labels).tolist()), 1.0, tuple(rows.tolist()),
            sentence=f"{len(rows)} rows hold {name}. They are bound to no label; ordinary text has none.",
        )
        for name, rows in hidden.items() if name not in told and len(rows) >= FEWEST_ROWS
    ]  # fmt: skip


def _of_duplicates(twice: Duplicates, labels: IntArray, num_labels: int) -> list[Finding]:
    """Rows with one text, or nearly, and several labels."""
    exact = sorted({row for group in twice.exact_conflicts for row in group})
    near = sorted({row for pair in twice.near_conflicts for row in pair} - set(exact))
    found = []
    for rows, told in ((exact, "the same text as another row"), (near, "nearly the same text as another row")):
        if rows:
            counts = np.bincount(labels[rows], minlength=num_labels)
            found.append(
                Finding(
                    "duplicates", Degree.WORTH_A_LOOK, told, None, tuple(counts.tolist()), 1.0, tuple(rows),
                    sentence=f"{len(rows)} rows have {told}, and another label. At least one label of each is wrong or "
                    "unsure.",
                )
            )
    return found
