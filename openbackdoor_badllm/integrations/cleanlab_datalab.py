"""A kind of issue for cleanlab's Datalab: rows that carry a backdoor trigger.

Importing this module registers ``backdoor`` beside cleanlab's own kinds:
``lab.find_issues(issue_types={"backdoor": {"victim": "minilm"}})``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from openbackdoor_badllm.auditing.api import audit
from openbackdoor_badllm.auditing.result import AuditResult
from openbackdoor_badllm.data.table_files import TEXT_COLUMNS
from openbackdoor_badllm.errors import ConfigError, MissingExtraError

try:
    import numpy as np
    import pandas as pd
    from cleanlab.datalab.internal.issue_manager import IssueManager
    from cleanlab.datalab.internal.issue_manager_factory import register
except ImportError as error:
    raise MissingExtraError("cleanlab", "cleanlab", "The kind of issue 'backdoor' of Datalab") from error


@register
class BackdoorIssueManager(IssueManager):  # type: ignore[misc]  # cleanlab has no types
    """Rows that carry a backdoor trigger; their score is the chance that they are honest.

    Args:
        datalab: with a text column and labels.
        text_column: of the data; found by its name where None.
        audit: further arguments of :func:`~openbackdoor_badllm.audit`, such as ``victim``, ``model``, ``sample``.
    """

    description: ClassVar[str] = (
        "A backdoor issue is a training row that carries a trigger: words or a style that turn texts of other classes "
        "into its label."
    )
    issue_name: ClassVar[str] = "backdoor"
    verbosity_levels: ClassVar[dict[int, list[str]]] = {0: ["verdict", "triggers"], 1: ["target_label"], 2: ["notes"]}

    def __init__(self, datalab: Any, text_column: str | None = None, **audit_options: Any) -> None:
        super().__init__(datalab)
        self.text_column, self.options = text_column, audit_options
        self.result: AuditResult | None = None

    def find_issues(self, **_: Any) -> None:
        """Audits the rows and fills ``issues``, ``summary`` and ``info``.

        Raises:
            ConfigError: the data has no text column.
        """
        columns = list(self.datalab.data.column_names)
        named = self.text_column or next((name for name in TEXT_COLUMNS if name in columns), None)
        if named not in columns:
            raise ConfigError(
                f"The data should have a column of texts, but has {', '.join(columns)}: name it with text_column."
            )
        names = [str(self.datalab._label_map[place]) for place in sorted(self.datalab._label_map)]
        labels = [names[place] for place in self.datalab.labels]
        texts = list(self.datalab.data.with_format(None)[named])
        self.result = audit(texts, labels, label_names=names, **self.options)
        honest = np.ones(len(texts))
        flagged = np.zeros(len(texts), dtype=bool)
        for item in self.result.flagged:
            honest[item.row] = 1.0 - item.probability
            flagged[item.row] = item.suspect
        self.issues = pd.DataFrame({f"is_{self.issue_name}_issue": flagged, self.issue_score_key: honest})
        self.summary = self.make_summary(score=float(honest.mean()))
        self.info = self.collect_info()

    def collect_info(self) -> dict[str, Any]:
        """The answers of the audit beside its rows."""
        if self.result is None:
            return {}
        rows = self.result.flagged
        return {
            "verdict": self.result.verdict,
            "target_label": self.result.target_label,
            "triggers": self.result.triggers,
            "notes": self.result.notes,
            "reasons": {item.row: item.reason for item in rows},
            "suggested_labels": {item.row: item.suggested_label for item in rows},
        }
