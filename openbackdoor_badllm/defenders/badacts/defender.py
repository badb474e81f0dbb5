"""``badacts``: BadActs (ACL Findings 2024), which works on the activations of a trained victim at test time.

Three modes: ``detection`` flags texts, ``purification`` clips the activations of every text, and
``detection_then_purification`` clips those of the flagged ones. See :mod:`.detection` and :mod:`.purification`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from openbackdoor_badllm.config import DefenderKeys
from openbackdoor_badllm.defenders.badacts.detection import Detector, Floats, Judged
from openbackdoor_badllm.defenders.badacts.purification import Bounds, Learning, learn_bounds
from openbackdoor_badllm.defenders.base import Configured
from openbackdoor_badllm.defenders.clean_rows import dev_rows, draw_clean
from openbackdoor_badllm.defenders.victim_view import network_of
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.rows import Example, blind, fingerprint
from openbackdoor_badllm.section import Positive, Seed, Whole
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress, Quiet
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.scoring import FloatArray, Scorer

FRR = {"detection": 0.05, "detection_then_purification": 0.2}  # as published
LEAST = 8  # clean rows: two halves of four, below which neither a Gaussian nor a quantile means anything


class BadActsConfig(Learning, DefenderKeys):
    """Section ``defender`` with ``"name": "badacts"``; every default is the published value."""

    name: str = "badacts"
    """The name under which it is registered."""
    mode: Literal["detection", "purification", "detection_then_purification"] = "detection_then_purification"
    """Flag texts, clip the activations of all, or clip those of the flagged ones."""
    pre: Literal[False] = False
    """It acts on activations at test time; only false."""
    correction: Literal[False] = False
    """It acts on activations at test time; only false."""
    clean_rows: Annotated[Whole, Field(ge=LEAST)] | None = None
    """Clean dev rows that it may use; all of them when it is not given."""
    delta: Positive = 3.0
    """Standard deviations within which a neuron counts as normal."""
    frr: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of clean rows that may be flagged; when not given, 0.05 to detect and 0.2 to purify what is flagged."""
    seed: Seed = 42
    """Seed of the draw and the halves of the clean rows, and of the learning of the bounds."""


class BadActs(Configured):
    """Flags texts by their activations, or holds the activations inside what clean rows need.

    Args:
        **config: the keys of :class:`BadActsConfig`.
    """

    called = "badacts"
    keys = BadActsConfig
    config: BadActsConfig
    clean_rows_needed: ClassVar[bool] = True

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.changes_model = self.config.mode != "detection"
        self.outcome = "changed model" if self.changes_model else "rejected rows"
        self._fitted: tuple[Any, str, Detector] | None = None

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """1 for each row whose activations are not normal; ``last_scores`` has the share of neurons that are not.

        In the modes that purify nothing is rejected: 0 for every row of a victim that :meth:`rebuild` made.

        Args:
            model: the trained victim.
            clean_data: the clean splits, of which ``dev`` alone is read, or the clean rows themselves.
            poison_data: the rows to be judged; neither their labels nor their third fields are read.

        Raises:
            DataError: too few clean rows.
            VictimError: the victim's layers cannot be reached, or it should have been purified and was not.
        """
        texts = [example.text for example in blind(poison_data or [])]
        trained = getattr(model, "trained", model)
        if self.changes_model:
            if not isinstance(trained, PurifiedClassifier):
                raise VictimError(
                    f"'badacts' in the mode '{self.config.mode}' puts a purified model in the place of the victim's, "
                    "and this host has not asked for it: use the built-in host, or the mode 'detection'."
                )
            self.last_scores = trained.suspicion(texts)
            return [0] * len(texts)
        scorer = network_of(model)
        detector = self._detector(scorer, dev_rows(clean_data))
        judged = detector.judge(scorer, texts, self.progress)
        self.last_scores = judged.scores
        return [int(flag) for flag in judged.flags]

    def rebuild(
        self, victim: Any, train_rows: Sequence[Any], clean_rows: Sequence[Any], num_labels: int
    ) -> TrainedClassifier:
        """The victim with its activations clipped: always, or where a text is flagged. Its weights are the same.

        Raises:
            DataError: too few clean rows, or the victim has none of them right.
            VictimError: the victim's layers cannot be reached.
        """
        trained = getattr(victim, "trained", victim)
        scorer = network_of(victim)
        if not isinstance(trained, TrainedClassifier):
            raise VictimError(f"'badacts' purifies a trained victim, but got {type(trained).__name__}.")
        clean = self._clean(clean_rows)
        self.progress.stage(f"BadActs: learn bounds of activations on {len(clean)} clean rows")
        found = learn_bounds(
            scorer, clean, self.config, seed=derive(self.config.seed, "badacts"), progress=self.progress
        )
        self.details = found.report()
        detector = None
        if self.config.mode == "detection_then_purification":
            detector = self._detector(scorer, clean_rows)
        own = {item.name: getattr(trained, item.name) for item in dataclasses.fields(TrainedClassifier)}
        return PurifiedClassifier(**own, bounds=found.bounds, detector=detector, progress=self.progress)

    def _clean(self, rows: Sequence[Any]) -> list[Example]:
        return draw_clean(rows, self.config.clean_rows, seed=self.config.seed, least=LEAST, who="badacts")

    def _detector(self, scorer: Scorer, rows: Sequence[Any]) -> Detector:
        """Fitted on one half of the clean rows, its threshold set on the other; once for a model and its clean rows."""
        known = fingerprint(blind(rows))
        if self._fitted is not None and self._fitted[0] is scorer.model and self._fitted[1] == known:
            return self._fitted[2]
        texts = [example.text for example in self._clean(rows)]
        half = len(texts) // 2
        frr = FRR[self.config.mode] if self.config.frr is None else self.config.frr
        detector = Detector.calibrate(scorer, texts[:half], texts[half:], delta=self.config.delta, frr=frr)
        self._fitted = (scorer.model, known, detector)
        self.details = {**self.details, "threshold": round(detector.threshold, 6), "frr": frr}
        return detector


@dataclasses.dataclass
class PurifiedClassifier(TrainedClassifier):
    """A trained victim whose logits are those of its clipped activations.

    ``model`` is the victim's own and is not clipped: whoever calls it by itself gets the backdoor.

    Attributes:
        detector: clip only where it flags; None: always.
    """

    bounds: Bounds | None = None
    detector: Detector | None = None
    progress: Progress = dataclasses.field(default_factory=Quiet)
    _judged: tuple[list[str], Judged] | None = dataclasses.field(default=None, init=False, repr=False)

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits of shape ``(len(texts), num_labels)``."""
        scorer = self.scorer()
        if self.bounds is None:
            raise VictimError("This model has no bounds: it comes from BadActs.rebuild().")
        if self.detector is None:
            return self.bounds.logits(scorer, texts)
        judged = self._judge(texts)
        result = judged.logits.copy()
        chosen = [k for k, flag in enumerate(judged.flags) if flag]
        result[chosen] = self.bounds.logits(scorer, [texts[k] for k in chosen])
        return result

    def suspicion(self, texts: Sequence[str]) -> Floats | None:
        """Share of neurons outside their interval, where there is a detector; shape ``(len(texts),)``."""
        return None if self.detector is None else self._judge(texts).scores

    def _judge(self, texts: Sequence[str]) -> Judged:
        """The detector's word; a host asks for the suspicion and then for the logits of the same texts."""
        if self.detector is None:
            raise VictimError("This model purifies every text: it has no detector.")
        if self._judged is None or self._judged[0] != list(texts):
            self._judged = list(texts), self.detector.judge(self.scorer(), texts, self.progress)
        return self._judged[1]
