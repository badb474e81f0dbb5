"""What every defender has: OpenBackdoor's interface, told what it is given.

The framework calls ``correct`` and ``eval_detect`` by keyword and ``detect`` by position, so the order of its
parameters is part of the interface. Rows come as ``(text, label, poison_label)``; no defender reads the third field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.config import DefenderKeys, TrainConfig, VictimConfig
from openbackdoor_badllm.rows import as_rows
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.store import Store


class Defender:
    """A defence that does nothing: the base of all others.

    Attributes:
        pre: it repairs the training rows before the victim is trained.
        correction: at test time it rewrites texts, instead of flagging them.
        clean_rows_needed: it needs clean labelled rows.
        trains_model: it trains a model of its own.
        needs_llm: it calls an LLM.
        stage: ``train`` or ``test``: when it acts.
        outcome: ``corrected text``, ``rejected rows``, ``cleaned training set`` or ``changed model``.
        changes_model: what it gives is another model, by :meth:`rebuild`; rows are neither rewritten nor flagged.
        needs_trained_victim: :meth:`rebuild` starts from the victim trained on the poisoned rows; false: from its
            pretrained model, and no victim is trained for it.
        evaluation_only: it reads what no defence can have (the poison flags, the clean rows): a reference line.
        last_flags: of a filter of training rows: 1 for each row that the last :meth:`correct` dropped.
        last_scores: how suspicious the last :meth:`detect` or :meth:`correct` found each row, higher is more so;
            None where it has no such number.
        details: what a result says of its last work (thresholds, keywords, its language model); JSON.
    """

    clean_rows_needed: ClassVar[bool] = False
    trains_model: ClassVar[bool] = False
    needs_llm: ClassVar[bool] = False
    stage: ClassVar[str] = "test"
    needs_trained_victim: ClassVar[bool] = True
    outcome: str = "rejected rows"
    changes_model: bool = False
    evaluation_only: ClassVar[bool] = False

    def __init__(
        self,
        name: str = "base",
        pre: bool = False,
        correction: bool = False,
        metrics: Sequence[str] = ("FRR", "FAR"),
    ) -> None:
        self.name = name
        self.pre = pre
        self.correction = correction
        self.metrics = list(metrics)
        self.store: Store | None = None
        self.progress: Progress = Quiet()
        self.last_flags: Sequence[int] | None = None
        self.last_scores: npt.NDArray[np.float64] | None = None
        self.details: dict[str, Any] = {}

    def attach(self, victim: VictimConfig, train: TrainConfig) -> None:
        """Told the attacked victim's model and training; a defender that trains takes them where its config has none.

        Args:
            victim: section ``victim``, with the number of classes.
            train: section ``attacker.train``.
        """

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """1 for each row that is taken for poisoned, else 0."""
        return [0] * len(poison_data or [])

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The rows after the defence."""
        return list(poison_data or [])

    def rebuild(
        self, victim: Any, train_rows: Sequence[Any], clean_rows: Sequence[Any], num_labels: int
    ) -> TrainedClassifier:
        """The model after the defence, for a defender that ``changes_model``; the host puts it behind its victim.

        Args:
            victim: the host's victim (``config``, ``path``); trained on the poisoned rows (``trained``) where
                ``needs_trained_victim`` says so. It is left as it is.
            train_rows: the poisoned training rows; the third field is never read.
            clean_rows: the clean dev rows.
            num_labels: number of classes.
        """
        raise NotImplementedError(f"the defender '{self.name}' changes no model")

    def defend(self, data: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The same for a whole data set, as OpenBackdoor's attackers ep, sos, neuba, por and ripples call it."""
        changed: dict[str, Any] = dict(data)
        if self.pre and "train" in changed:
            changed["train"] = self.correct(poison_data=changed["train"])
        return changed

    def eval_detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Mapping[str, Sequence[Any]] | None = None
    ) -> tuple[dict[str, dict[str, float]], Sequence[int]]:
        """FRR and FAR by split, and the flags of the last split. Evaluation: it reads the poison flags."""
        scores: dict[str, dict[str, float]] = {}
        flags: Sequence[int] = []
        for split, rows in (poison_data or {}).items():
            flags = self.detect(model, clean_data, rows)
            scores[split] = detection_rates(flags, [row.poison_label for row in as_rows(rows)])
        return scores, flags

    def get_target_label(self, data: Sequence[Any]) -> None:
        """OpenBackdoor reads the target label from the poison flags here. A defence must not: always None."""
        return


class Configured(Defender):
    """A defender that is made from the keys of a config's section ``defender``.

    Attributes:
        called: the name under which it is registered.
        keys: the class of its section.
        config: the section, as read.
    """

    called: ClassVar[str]
    keys: ClassVar[type[DefenderKeys]]
    config: DefenderKeys

    def __init__(self, **config: Any) -> None:
        self.config = read(self.keys, {**config, "name": self.called}, "defender")
        super().__init__(self.called, self.config.pre, self.config.correction, self.config.metrics)


def detection_rates(flags: npt.ArrayLike, poison_labels: npt.ArrayLike) -> dict[str, float]:
    """FRR: flagged clean rows among clean rows. FAR: unflagged poisoned rows among poisoned rows. nan without any."""
    flagged = np.asarray(flags).astype(bool)
    poisoned = np.asarray(poison_labels).astype(bool)
    return {
        "FRR": float(flagged[~poisoned].mean()) if (~poisoned).any() else float("nan"),
        "FAR": float((~flagged[poisoned]).mean()) if poisoned.any() else float("nan"),
    }
