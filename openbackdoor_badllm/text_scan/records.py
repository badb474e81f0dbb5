"""What a scan of the raw texts ends with: frozen records of each finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

VERSION = 1


class Degree(str, Enum):
    """How much a finding says, in two degrees."""

    SUSPICIOUS = "suspicious"
    """Rows of one label share something, and their other words contradict the label or nothing honest explains it."""
    WORTH_A_LOOK = "worth a look"
    """It may be honest, and a person can tell."""


@dataclass(frozen=True)
class Contradiction:
    """Whether the other words of some rows contradict their label.

    Attributes:
        share: estimated share of the rows whose text belongs to another label; 0 where they read as other rows of their
            label do, 1 where they read as rows of other labels do. Not bounded by 0 and 1, as it is an estimate.
        p_value: one-sided exact binomial test, corrected for the number of patterns that it was made for.
        bare_p_value: the same against rows of the label that lost as many class words, corrected as well: an honest
            class word leaves its rows like those.
        raw_p_value: the first, not corrected.
    """

    share: float
    p_value: float
    bare_p_value: float
    raw_p_value: float


@dataclass(frozen=True)
class Finding:
    """Something that rows of one label share.

    Attributes:
        kind: what sort of thing: one of ``character``, ``white space``, ``word``, ``phrase``, ``opening``, ``ending``,
            ``casing``, ``repetition``, ``pair``, ``shortcut``, ``duplicates``.
        degree: how much it says.
        what: the thing, fit to be shown: no character in it is invisible or acts.
        label: the label that it is bound to; None where it is bound to none.
        counts: rows with it, by label.
        p_value: exact one-sided hypergeometric test that these rows were drawn without regard to the label, corrected
            for all comparisons of the scan.
        contradiction: what the other words of the rows say, where that could be tested.
        neighbours: how much more often than random places its places have the same word beside them; 1 is a word that
            was put in at random. None where it was not measured.
        together: further things that stand in the same rows.
        seen: whether the victim's tokenizer sees it; None where no tokenizer was given, or the thing is no character.
        rows: the rows with it that have the label, ascending; all rows where there is no label.
        sentence: what was found, in plain words.
    """

    kind: str
    degree: Degree
    what: str
    label: int | None
    counts: tuple[int, ...]
    p_value: float
    rows: tuple[int, ...] = field(repr=False)
    contradiction: Contradiction | None = None
    neighbours: float | None = None
    together: tuple[str, ...] = ()
    seen: bool | None = None
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        test = self.contradiction
        return {
            "kind": self.kind,
            "degree": self.degree.value,
            "what": self.what,
            "together": list(self.together),
            "label": self.label,
            "counts": list(self.counts),
            "p_value": self.p_value,
            "contradicted_share": None if test is None else round(test.share, 4),
            "contradicted_p_value": None if test is None else test.p_value,
            "contradicted_bare_p_value": None if test is None else test.bare_p_value,
            "neighbours": None if self.neighbours is None else round(self.neighbours, 2),
            "seen_by_tokenizer": self.seen,
            "sentence": self.sentence,
            "rows": list(self.rows),
        }


@dataclass(frozen=True)
class TextScan:
    """The scan of one set of labelled texts.

    Attributes:
        findings: suspicious ones first, then by the number of rows.
        label_counts: rows of each label.
        comparisons: how many patterns were held against how many labels; what the p-values are corrected for.
        content_accuracy: how often the bag-of-words model is right on rows that it has not seen; None where there are
            too few rows for one. Near chance, contradictions cannot be seen.
        exact_duplicates: rows whose text stands in an earlier row as well.
        mined: rows in which patterns and near-duplicates were looked for; what was found is counted in all rows.
        seconds: wall time of each part.
    """

    findings: tuple[Finding, ...]
    label_counts: tuple[int, ...]
    comparisons: int
    content_accuracy: float | None
    exact_duplicates: int
    mined: int
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def suspicious(self) -> bool:
        """Whether any finding is suspicious."""
        return any(finding.degree is Degree.SUSPICIOUS for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": VERSION,
            "suspicious": self.suspicious,
            "rows": sum(self.label_counts),
            "rows_mined": self.mined,
            "label_counts": list(self.label_counts),
            "comparisons": self.comparisons,
            "content_accuracy": None if self.content_accuracy is None else round(self.content_accuracy, 4),
            "exact_duplicates": self.exact_duplicates,
            "findings": [finding.to_dict() for finding in self.findings],
            "seconds": {part: round(value, 2) for part, value in self.seconds.items()},
        }
