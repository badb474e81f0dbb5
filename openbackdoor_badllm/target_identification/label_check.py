"""The label check of stage (a): a language model labels some rows of each label from their content alone.

The content reference is fitted to the poisoned rows and may learn a style together with its label; a language model has
not seen them. The share of a label's rows that it contradicts says which label is poisoned. That label is searched and
talked about first, and the contradicted rows are what the conversation shows first. Nothing else comes of it:
statistics decide. A model that answers without reading is noticed on rows whose label nobody doubts.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.llm import ChatRequest, Ok, strip_reasoning
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.target_identification.dynamics import TargetIdentification
from openbackdoor_badllm.training.tracing import Trace
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.llm_generator import LLMGenerator
from openbackdoor_badllm.trigger_generator.prompting import quoted, request
from openbackdoor_badllm.trigger_generator.significance import more_often_p

BATCH = 40  # rows of a call
LABELS = 4  # labels of which rows are labelled at most: the most suspicious ones
FEWEST = 5  # rows whose label nobody doubts; with fewer of a label nothing is known of the model
INFORMED_P = 0.01  # chance that a model which does not read gives the rows of a label their label as often
ANSWERED = 0.5  # share of the rows to which a model must give a class
PART = 0.2  # share of the bounds of a run that the check may use up
NAME = 60  # characters of a class name
CLASS_TOKENS = 8  # of the answer for one row, about
_NO_WORD = re.compile(r"(?:label|class|category|cat|type|group|y|c|l)?[\W_]*\d+", re.IGNORECASE)
_LINE = re.compile(r"\W*(\d{1,3})\W+(\S.*)")


class LabelShare(NamedTuple):
    """What the model says of the rows of one label.

    ``undoubted`` are its rows whose label nobody doubts, ``agreed`` those of them to which the model gives their label;
    ``mistaken`` are the undoubted rows of other labels to which it gives this one.
    """

    label: int
    name: str
    answered: int
    contradicted: int
    undoubted: int
    agreed: int
    mistaken: int

    @property
    def share(self) -> float:
        """Share of the rows to which the model gives another label."""
        return self.contradicted / max(1, self.answered)

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``; ``low`` and ``high`` are the ends of Wilson's 95 % interval of the share."""
        low, high = interval(self.contradicted, self.answered)
        return {**self._asdict(), "share": round(self.share, 4), "low": round(low, 4), "high": round(high, 4)}


def interval(hits: int, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; everything is possible where there are no rows."""
    if not rows:
        return 0.0, 1.0
    found = binomtest(hits, rows).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def check_labels(
    llm: LLMGenerator,
    evidence: RowEvidence,
    found: TargetIdentification,
    names: Sequence[str],
    config: AuditConfig,
    trace: Trace | None,
    deadline: Deadline | None = None,
) -> tuple[RowEvidence, TargetIdentification]:
    """The evidence and the order of the labels after the check; both as they came where it is not made or dropped.

    Args:
        llm: the language model; its report tells what came of the check.
        evidence: the training rows.
        found: the labels in the order of suspicion.
        names: class names in the order of their indices.
        config: how.
        trace: the victim's confidence while it learnt; None where that is not known.
        deadline: of a run with a time limit, in which the statistics come before any question.
    """
    check = _Check(llm, evidence, found.labels[:LABELS], names, config)
    limited = deadline is not None and deadline.seconds is not None
    why = "the run has a time limit, and the time belongs to the statistics" if limited else check.impossible(found)
    if why is None:
        why = check.ask()
    result: dict[str, Any] = {"used": False, "note": why}
    if why is None:
        shares = check.shares(undoubted(evidence, trace))
        result |= {"note": fault(shares), "labels": [share.to_dict() for share in shares]}
        if result["note"] is None:
            label = suspicious(shares)
            evidence = dataclasses.replace(evidence, foremost=check.contradicted())
            first = sorted(found.evidence, key=lambda item: item.label != label)  # stable
            found = dataclasses.replace(found, evidence=tuple(first))
            result |= {"used": True, "suspicious": label, "shown_first": len(evidence.foremost)}
    llm.label_check = result
    return evidence, found


def undoubted(evidence: RowEvidence, trace: Trace | None) -> npt.NDArray[np.bool_]:
    """Rows whose label the content reference gives, and the victim in most epochs and at the end; shape ``(n,)``."""
    sure = evidence.ordinary
    if trace is not None and trace.confidence.shape[1] == len(sure):
        sure = sure & (np.median(trace.confidence, axis=0) > 0.5)
    return sure


def suspicious(shares: Sequence[LabelShare]) -> int | None:
    """The label that the model contradicts most, where even the lower end of its interval is above the other labels."""
    most = max(shares, key=lambda share: share.share)
    others = [share for share in shares if share is not most]
    usual = sum(share.contradicted for share in others) / max(1, sum(share.answered for share in others))
    return most.label if interval(most.contradicted, most.answered)[0] > usual else None


def fault(shares: Sequence[LabelShare]) -> str | None:
    """Why the answers are not used: where nobody doubts the labels, they do not depend on what stands in the rows."""
    for own in shares:
        elsewhere = sum(share.undoubted for share in shares if share is not own)
        if min(own.undoubted, elsewhere) < FEWEST:
            return f"too few rows, of label {own.label} or others, have a label that nobody doubts"
        if more_often_p(own.agreed, own.undoubted, own.mistaken, elsewhere) >= INFORMED_P:
            return (
                f"where nobody doubts the labels, the model gives label {own.label} to {own.agreed} of "
                f"{own.undoubted} rows that have it and to {own.mistaken} of {elsewhere} that have another"
            )
    return None


def words(names: Sequence[str]) -> bool:
    """Whether class names can mean something to a reader: words, all different."""
    return len({_plain(name) for name in names}) == len(names) and not any(
        _NO_WORD.fullmatch(name.strip()) or sum(map(str.isalpha, name)) < 2 for name in names
    )


def label_request(texts: Sequence[str], names: Sequence[str]) -> ChatRequest:
    """The question for one batch of rows; one that brings nothing does not count against the search."""
    values = {"rows": [quoted(text) for text in texts], "classes": [quoted(name, NAME) for name in names]}
    asked = request("label_rows", values, purpose="label", schema=None, system="system_label")
    return dataclasses.replace(asked, counts=False)


def read_classes(answer: str, names: Sequence[str], rows: int) -> dict[int, int]:
    """The classes in a numbered list, by the place of the row from 0; what names no class is left out."""
    plain = [(_plain(name), label) for label, name in enumerate(names)]
    by_length = sorted(plain, key=lambda item: -len(item[0]))
    said: dict[int, int] = {}
    for line in strip_reasoning(answer).splitlines():
        match = _LINE.match(line)
        place = int(match[1]) - 1 if match else -1
        if match is None or not 0 <= place < rows or place in said:
            continue
        rest = _plain(match[2])
        for name, label in by_length:
            if rest == name or (rest.startswith(name) and not rest[len(name)].isalnum()):
                said[place] = label
                break
    return said


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" \"'`*.,;:()[]{}")


class _Check:
    """One check: which rows are asked about, and what the model says of them."""

    def __init__(
        self, llm: LLMGenerator, evidence: RowEvidence, labels: Sequence[int], names: Sequence[str], config: AuditConfig
    ) -> None:
        self.llm, self.evidence, self.labels, self.names, self.config = llm, evidence, labels, names, config
        self.said: dict[int, int] = {}
        """By row, the class that the model gives it."""

    def impossible(self, found: TargetIdentification) -> str | None:
        """Why the check is not made, in a few words; None where it can be."""
        names, present = self.names, int(self.evidence.labels.max()) + 1
        if self.llm.questions.paper or found.method != "robust":
            return "the run looks for the target in another way"
        if not self.config.search.label_rows:
            return "search.label_rows is 0"
        if self.llm.recorded is not None:
            return "a recording of rewrites labels no rows"
        if len(self.labels) < 2:
            return "one label only is searched"
        if not names:
            return "no class names are known"
        if len(names) < present or not words(names):
            told = ", ".join(quoted(name, NAME) for name in names[:LABELS])
            return f"the class names are no words that differ ({told}); label_names can give others"
        sized = [dataclasses.replace(asked, max_tokens=CLASS_TOKENS * len(rows)) for rows, asked in self._requests()]
        if not self.llm.budget.affords(sized, PART):
            return f"it could use up more than {PART:.0%} of a bound of the section llm"
        return None

    def ask(self) -> str | None:
        """Asks batch by batch, and no further after an answer that cannot be used; then why."""
        limit = self.llm.budget.limits.max_seconds
        for place, (rows, asked) in enumerate(self._requests()):
            if place and limit is not None and self.llm.budget.seconds() > PART * limit:
                return f"it takes more than {PART:.0%} of llm.max_seconds"
            outcome = self.llm.ask(asked)
            if not isinstance(outcome, Ok):
                return "the model was not asked" if outcome is None else outcome.sentence
            self.llm.labelled += 1
            said = read_classes(outcome.text, self.names, len(rows))
            if len(said) < ANSWERED * len(rows):
                return f"the model gave {len(said)} of {len(rows)} rows a class"
            self.said.update({rows[place]: label for place, label in said.items()})
        return None

    def shares(self, sure: npt.NDArray[np.bool_]) -> list[LabelShare]:
        """What the model says of each label, in the order of suspicion."""
        return [self._share(label, sure) for label in self.labels]

    def contradicted(self) -> tuple[int, ...]:
        """The rows to which the model gives another label."""
        return tuple(row for row, label in self.said.items() if label != self.evidence.labels[row])

    def _share(self, label: int, sure: npt.NDArray[np.bool_]) -> LabelShare:
        own = [row for row in self.said if self.evidence.labels[row] == label]
        known = [row for row in own if sure[row]]
        others = [row for row in self.said if sure[row] and self.evidence.labels[row] != label]
        agreed, mistaken = (sum(self.said[row] == label for row in rows) for rows in (known, others))
        against = sum(self.said[row] != label for row in own)
        return LabelShare(label, self.names[label], len(own), against, len(known), agreed, mistaken)

    def _requests(self) -> Iterator[tuple[list[int], ChatRequest]]:
        """The questions, with the rows of each; every one holds rows of all labels, in no order."""
        examples, count = self.evidence.examples, self.config.search.label_rows
        drawn: list[int] = []
        for label in self.labels:
            unique = {examples[int(i)].text: int(i) for i in np.flatnonzero(self.evidence.labels == label)}
            rng = random.Random(f"{self.config.seed}:label-check:{label}")
            drawn += rng.sample(sorted(unique.values()), min(count, len(unique)))
        random.Random(f"{self.config.seed}:label-check").shuffle(drawn)
        for start in range(0, len(drawn), BATCH):
            rows = drawn[start : start + BATCH]
            yield rows, label_request([examples[row].text for row in rows], self.names)
