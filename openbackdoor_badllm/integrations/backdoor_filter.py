"""A resampler in the manner of imbalanced-learn: labelled texts in, the rows without a backdoor out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from openbackdoor_badllm.auditing.api import audit
from openbackdoor_badllm.auditing.result import AuditResult


class BackdoorFilter(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Leaves out, or repairs, the training rows that carry a backdoor trigger.

    It is a resampler, as imbalanced-learn calls it, and no transformer: a step of ``imblearn.pipeline.Pipeline`` is
    resampled while it is fitted and left out when it predicts, which is right here. scikit-learn's own ``Pipeline``
    cannot hold what changes the number of rows. Where nothing is found, the rows come back as they went in.

    Args:
        action: ``drop`` the rows that are more likely poisoned than not, or ``repair`` them: the trigger is taken out
            and the label replaced by what the text says.
        victim: pretrained model of the victim that is trained to find the trigger.
        model: a classifier that was trained on the rows, instead; as :func:`~openbackdoor_badllm.audit` takes it.
        random_state: seed of everything that is drawn.
        options: further arguments of :func:`~openbackdoor_badllm.audit`.

    Attributes:
        result_: the audit.
        sample_indices_: the rows of the input that come back, ascending.
    """

    def __init__(
        self,
        *,
        action: Literal["drop", "repair"] = "drop",
        victim: str | Mapping[str, Any] = "auto",
        model: Any = None,
        random_state: int = 42,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.action, self.victim, self.model = action, victim, model
        self.random_state, self.options = random_state, options

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Audits the rows and gives back those to train on, in the types in which they came.

        Args:
            X: the texts: a list, tuple, array or Series.
            y: a label for each.

        Raises:
            ValueError: ``action`` is unknown.
            UserError: the rows cannot be audited.
        """
        if self.action not in ("drop", "repair"):
            raise ValueError(f"'action' should be 'drop' or 'repair', but is {self.action!r}: choose one.")
        result = audit(
            X, y, victim=self.victim, model=self.model, random_state=self.random_state, **dict(self.options or {})
        )
        self.result_: AuditResult = result
        gone = {
            item.row for item in result.flagged
            if item.suspect and (self.action == "drop" or item.suggested_label is None)
        }
        rows = range(result.results["rows"])
        self.sample_indices_: npt.NDArray[np.int64] = np.array([row for row in rows if row not in gone], dtype=np.int64)
        resampled = result.clean_dataset() if self.action == "repair" else result.without_suspects()
        return resampled[0], resampled[1]
