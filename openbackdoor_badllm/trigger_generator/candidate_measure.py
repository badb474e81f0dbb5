"""What is measured of a candidate before the acceptance tests: on the victim, on the content reference, in the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.protocols import Classifier
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.acceptance import Candidate
from openbackdoor_badllm.trigger_generator.evidence import RowEvidence
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward, answer
from openbackdoor_badllm.trigger_generator.significance import contradiction_p
from openbackdoor_badllm.trigger_generator.trigger import Trigger, apply_all

MANY = 0.25  # share of the rows of a label
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CandidateMeasure:
    """Measures the candidates of one label.

    Attributes:
        label: the label.
        victim: its loss is the reward.
        evidence: the training rows.
        config: the bounds and the seed.
        probes: texts of other labels.
    """

    label: int
    victim: Classifier
    evidence: RowEvidence
    config: AuditConfig
    probes: Probes

    def reward(self, trigger: Trigger, probes: Sequence[str]) -> Reward:
        """The reward of a trigger on some texts."""
        return answer(self.victim, apply_all(trigger, probes, self.config.seed), self.label).reward()

    def candidate(
        self, trigger: Trigger, reward: Reward, tail: float, compared: int, beside: bool, rival: float
    ) -> Candidate:
        """All that is known of a trigger.

        Args:
            trigger: an inserted trigger.
            reward: on the search probes.
            tail: chance of its effect among ordinary candidates.
            compared: candidates raced for the label.
            beside: another trigger of the label has been accepted.
            rival: highest flip rate of a raced candidate that is no part of it.
        """
        rows = self.evidence
        carrying = np.array([trigger.carries(example.text) for example in rows.examples], dtype=bool)
        own = rows.labels == self.label
        reference = rows.reference_without(carrying)
        inserted = apply_all(trigger, self.probes.select, self.config.seed)
        before, after = (_log_odds(reference(texts), self.label) for texts in (self.probes.select, inserted))
        shift = float((after - before).mean())
        texts = [trigger.remove(rows.examples[int(i)].text) for i in np.flatnonzero(carrying & own)]
        against = int((reference(texts).argmax(axis=1) != self.label).sum()) if texts else 0
        others = own & ~carrying
        base = self._usual_contradiction(carrying, others)
        return Candidate(
            trigger, reward, self.reward(trigger, self.probes.select), len(texts), int((carrying & ~own).sum()),
            int(own.sum()), len(own), shift / self._separation(), against / max(1, len(texts)),
            float(rows.wrong_for(self.label)), contradiction_p(against, len(texts), base),
            tail, compared, beside, rival,
            rows.agreement < self.config.thresholds.weak_agreement,
        )

    def _usual_contradiction(self, carrying: Mask, others: Mask) -> float:
        """Share of the other rows of the label that contradict it.

        Where the candidate stands in many rows of the label, the reference has learnt the label from these as well, and
        the honest rows seem to contradict it; then it is fitted without them.
        """
        if not others.any():
            return 0.5
        if carrying.sum() <= MANY * (self.evidence.labels == self.label).sum():
            return float(self.evidence.contradicted[others].mean())
        held_out = self.evidence.reference.held_out(carrying)
        return float((held_out[others].argmax(axis=1) != self.label).mean())

    def _separation(self) -> float:
        """Distance of the label's rows from the others, in held-out log-odds of the content reference."""
        own, score = self.evidence.labels == self.label, _log_odds(self.evidence.held_out, self.label)
        return max(0.5, float(score[own].mean() - score[~own].mean()))


def _log_odds(probabilities: FloatArray, label: int) -> FloatArray:
    own = np.clip(probabilities[:, label], 1e-4, 1 - 1e-4)
    result: FloatArray = np.log(own / (1 - own))
    return result
