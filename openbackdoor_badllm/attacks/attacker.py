"""Attackers: poison the data, train the victim, evaluate it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.attacks.metrics import accuracy, auroc, share
from openbackdoor_badllm.attacks.poisoner import Poisoner
from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.attacks.victim_trainer import Trainer
from openbackdoor_badllm.config import AttackerConfig
from openbackdoor_badllm.defenders.base import Defender, detection_rates
from openbackdoor_badllm.rows import Row, as_rows
from openbackdoor_badllm.section import read


@dataclass
class Evaluation:
    """Predictions of one evaluation, by split (``test-clean``, ``test-poison``).

    Attributes:
        rows: what the victim was asked about; a corrector's texts stand in the place of the attacker's.
        predictions: what it said.
        flagged: rows that a detector turned away.
        scores: how suspicious a detector found them; absent where it has no such number.
        originals: the labels that the rows had before the attack, one for each row that the defender was handed; they
            line up with ``rows`` unless a corrector dropped some.
        seconds: what the defender took, the victim's own answers left out.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    predictions: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    flagged: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    scores: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    originals: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0

    def figures(self, *, detector: bool) -> dict[str, float]:
        """Figures beside CACC and ASR, one meaning for every kind of defence; nan where there is nothing to count.

        ``R-Acc``: triggered rows that got their original label; one that was turned away got none.

        Args:
            detector: also FRR, FAR, AUROC, and the figures over the rows that were let through.
        """
        clean, poison = "test-clean", "test-poison"
        labels = self.originals.get(poison, [])
        answers = np.where(self.flagged[poison], -1, self.predictions[poison])
        aligned = len(labels) == len(answers)
        found = {"R-Acc": share(answers, labels) if aligned else float("nan")}
        if not detector:
            return found
        flags = np.concatenate([self.flagged[clean], self.flagged[poison]])
        poisoned = np.repeat([False, True], [len(self.flagged[clean]), len(self.flagged[poison])])
        rates = detection_rates(flags, poisoned)
        scored = clean in self.scores and poison in self.scores
        scores = np.concatenate([self.scores[clean], self.scores[poison]]) if scored else np.full(len(flags), np.nan)
        found |= {"FRR": rates["FRR"], "FAR": rates["FAR"], "AUROC": auroc(scores, poisoned)}
        for name, split, truth in (
            ("CACC let through", clean, [row.label for row in self.rows[clean]]),
            ("ASR let through", poison, [row.label for row in self.rows[poison]]),
            ("R-Acc let through", poison, labels),
        ):
            passed = ~self.flagged[split]
            kept = [label for label, let in zip(truth, passed, strict=True) if let]
            found[name] = share(self.predictions[split][passed], kept)
        return found


class Attacker:
    """OpenBackdoor's base attacker.

    Args:
        **config: the keys of :class:`~openbackdoor_badllm.config.AttackerConfig`.
    """

    def __init__(self, **config: Any) -> None:
        section = read(AttackerConfig, config, "attacker")
        self.poisoner = Poisoner(**(section.poisoner or {}))
        self.poison_trainer = Trainer(**(section.train or {}))
        self.evaluation = Evaluation()
        self.rebuild_seconds = 0.0  # of the defender that changed the model last

    def attack(
        self,
        victim: PLMVictim,
        data: Mapping[str, Sequence[Any]],
        config: Mapping[str, Any] | None = None,
        defender: Defender | None = None,
    ) -> PLMVictim:
        """Poisons the data, lets a ``pre`` defender repair the training rows, trains the victim on them.

        A defender that changes the model does so here; see :meth:`rebuild`.
        """
        poisoned = self.poison(victim, data, "train")
        if defender is not None and defender.pre:
            poisoned["train"] = defender.correct(poison_data=poisoned["train"])
        return self.rebuild(victim, poisoned, defender)

    def rebuild(
        self, victim: PLMVictim, dataset: Mapping[str, Sequence[Any]], defender: Defender | None = None
    ) -> PLMVictim:
        """Trains the victim, and puts the model that the defender makes in the place of the trained one.

        Of ``dataset`` a defender gets ``train`` and the clean dev rows; never the poisoned dev rows, nor test rows.
        """
        self.rebuild_seconds = 0.0
        if defender is None or not defender.changes_model:
            return self.train(victim, dataset)
        if defender.needs_trained_victim:
            victim = self.train(victim, dataset)
        rows, clean = as_rows(dataset["train"]), as_rows(dataset.get("dev-clean") or dataset.get("dev") or [])
        num_labels = victim.num_classes or max((row.label for row in [*rows, *clean]), default=1) + 1
        begun = time.monotonic()
        victim.trained = defender.rebuild(victim, rows, clean, num_labels)
        self.rebuild_seconds = time.monotonic() - begun
        return victim

    def poison(self, victim: PLMVictim, dataset: Mapping[str, Sequence[Any]], mode: str) -> dict[str, list[Any]]:
        """The poisoned splits; see :class:`Poisoner`."""
        splits = {split: as_rows(rows) for split, rows in dataset.items()}
        return dict(self.poisoner(splits, mode))

    def train(self, victim: PLMVictim, dataset: Mapping[str, Sequence[Any]]) -> PLMVictim:
        """Trains the victim."""
        return self.poison_trainer.train(victim, dataset)

    def eval(
        self, victim: PLMVictim, dataset: Mapping[str, Sequence[Any]], defender: Defender | None = None
    ) -> dict[str, dict[str, float]]:
        """CACC under ``["test-clean"]["accuracy"]``, ASR under ``["test-poison"]["accuracy"]``.

        A test-time defender (``pre`` false) rewrites the rows (``correction``) or flags them; a flagged row counts as
        an error for CACC and as a failed attack for ASR, as in OpenBackdoor. Of the data set it is handed dev alone;
        OpenBackdoor hands over the test rows as well.
        """
        evaluation = Evaluation()
        results: dict[str, dict[str, float]] = {}
        given = {split: rows for split, rows in dataset.items() if split == "dev"}  # no test rows, no training rows
        splits = self.poison(victim, dataset, "eval")
        non_target = self.poisoner.get_non_target(splits["test-clean"])
        for split, rows in splits.items():
            evaluation.originals[split] = [row.label for row in (rows if split == "test-clean" else non_target)]
            flags = np.zeros(len(rows), dtype=bool)
            if defender is not None and not defender.pre:
                begun = time.monotonic()
                if defender.correction:
                    rows = as_rows(defender.correct(model=victim, clean_data=given, poison_data=rows))
                    flags = np.zeros(len(rows), dtype=bool)
                else:
                    flags, scores = _detected(defender, victim, given, rows)
                    if scores is not None:
                        evaluation.scores[split] = scores
                evaluation.seconds += time.monotonic() - begun
            predictions = victim.logits([row.text for row in rows]).argmax(axis=1)
            results[split] = {"accuracy": accuracy(np.where(flags, -1, predictions), rows)}
            evaluation.rows[split], evaluation.predictions[split] = rows, predictions
            evaluation.flagged[split] = flags
        self.evaluation = evaluation
        return results


def _detected(
    defender: Defender, victim: PLMVictim, clean_data: Mapping[str, Sequence[Any]], rows: Sequence[Row]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64] | None]:
    """Flags, and scores where the detector has such numbers."""
    defender.last_scores = None  # those of the split before must not be taken for this one's
    flags = np.asarray(defender.detect(victim, clean_data, rows)).astype(bool)
    scores: npt.ArrayLike | None = defender.last_scores
    return flags, None if scores is None else np.asarray(scores, dtype=np.float64)
