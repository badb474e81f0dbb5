"""``onion``: ONION (Qi et al. 2021, "ONION: A Simple and Effective Defense Against Textual Backdoor Attacks", EMNLP).

Words that surprise a language model are taken out of a text before the victim sees it. As in the paper, the bar is
the lowest that costs the victim at most two points of accuracy on clean texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from openbackdoor_badllm.config import CleanRowsKeys, TrainConfig, VictimConfig
from openbackdoor_badllm.defenders.clean_rows import Calibrated, CleanRows
from openbackdoor_badllm.defenders.victim_view import Answers, answers_of
from openbackdoor_badllm.errors import ConfigError, VictimError
from openbackdoor_badllm.rows import Row, blind
from openbackdoor_badllm.section import Share, Text, Whole

if TYPE_CHECKING:
    from openbackdoor_badllm.defenders.onion.language_models import LanguageModel

HUB_MODEL = "gpt2"
SHARES = (0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.075, 0.05, 0.03, 0.02, 0.01, 0.005)  # of the clean words, tried as bars
BLOCK = 512  # texts of which all shortened versions are in memory at once

Array = npt.NDArray[np.float64]


class OnionConfig(CleanRowsKeys):
    """Section ``defender`` with ``"name": "onion"``."""

    correction: bool = True
    """True: surprising words are taken out. False: a row is flagged when its most surprising word stands out."""
    threshold: float | None = None
    """Words of at least this surprise are taken out (OpenBackdoor: 0). Calibrated on clean rows when not given."""
    max_drop: Share = 0.02
    """Accuracy that a calibrated bar may cost on the calibration half."""
    frr: Share = 0.05
    """As a detector: share of clean rows that the threshold may flag, on the calibration half."""
    language_model: Text = "auto"
    """Folder or hub name of a causal language model such as ``gpt2``; ``encoder``: the victim's pretrained encoder,
    made to guess masked words; ``auto``: ``gpt2`` where it can be had, else ``encoder``."""
    max_len: Annotated[Whole, Field(ge=8)] = 512
    """Tokens that the language model sees of a text; the words beyond are kept."""
    victim: VictimConfig | None = None
    """Whose encoder ``encoder`` means; the attacked victim's when it is not given."""
    batch_size: Whole = 32
    """OpenBackdoor's key; not used: batches are made by length."""
    parallel: bool = True
    """OpenBackdoor's key; not used."""


class _Ready(NamedTuple):
    """What the clean rows gave."""

    language_model: LanguageModel
    bar: float
    threshold: float


class ONION(Calibrated[_Ready]):
    """Takes surprising words out of texts, or flags the texts that hold one.

    Args:
        **config: the keys of :class:`OnionConfig`.
    """

    called = "onion"
    keys = OnionConfig
    config: OnionConfig

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.outcome = "corrected text" if self.correction else "rejected rows"
        self.victim = self.config.victim or VictimConfig(path="auto")

    def attach(self, victim: VictimConfig, train: TrainConfig) -> None:
        """Takes the attacked victim's pretrained encoder where the config names none."""
        if self.config.victim is None:
            self.victim = victim

    def correct(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> list[Any]:
        """The rows without surprising words: as many, in the same order, with the labels and flags that they had.

        A text of one word stays as it is, and none becomes empty: its least surprising word is kept.

        Raises:
            DataError: no clean dev rows.
            UserError: the language model that the config names cannot be had.
        """
        rows = list(poison_data or [])
        ready = self._ready(model, clean_data)
        texts = [row.text.split() for row in blind(rows)]
        surprise = list(self._surprise(ready.language_model, texts))
        self.last_scores = np.array([highest(each) for each in surprise])
        corrected = [without(words, each, ready.bar) for words, each in zip(texts, surprise, strict=True)]
        self.details["words_removed"] = round(
            1 - sum(len(text.split()) for text in corrected) / max(1, sum(map(len, texts))), 4
        )
        return [Row(text, *row[1:]) for text, row in zip(corrected, rows, strict=True)]

    def detect(
        self, model: Any = None, clean_data: Any = None, poison_data: Sequence[Any] | None = None
    ) -> Sequence[int]:
        """1 for each row whose most surprising word is more so than that of nearly all clean rows."""
        ready = self._ready(model, clean_data)
        texts = [row.text.split() for row in blind(poison_data or [])]
        scores = np.array([highest(each) for each in self._surprise(ready.language_model, texts)])
        self.last_scores = scores
        return [int(high) for high in scores > ready.threshold]

    def _ready(self, model: Any, clean_data: Any) -> _Ready:
        ready = self.calibrated(answers_of(model), clean_data)
        self.details |= {
            "language_model": ready.language_model.name,
            **({"bar": ready.bar} if self.correction else {"threshold": ready.threshold}),
        }
        return ready

    def calibrate(self, victim: Answers, rows: CleanRows) -> _Ready:
        """The language model, the bar of the correction and the threshold of the detection."""
        language_model = self._load()
        words = [example.text.split() for example in rows.calibrate]
        surprise = list(self._surprise(language_model, words))
        threshold = float(np.quantile([highest(each) for each in surprise], 1 - self.config.frr))
        bar = self.config.threshold
        if bar is None:
            bar = self._lowest_bar(victim, rows, words, surprise)
        return _Ready(language_model, bar, threshold)

    def _lowest_bar(
        self, victim: Answers, rows: CleanRows, words: Sequence[list[str]], surprise: Sequence[Array]
    ) -> float:
        """The lowest bar that costs at most ``max_drop`` of the accuracy on clean rows.

        Where each of :data:`SHARES` costs more, it is just above the most surprising clean word, which costs nothing.
        """
        labels = np.array([example.label for example in rows.calibrate])
        everything = np.concatenate([each[~np.isnan(each)] for each in surprise] or [np.zeros(0)])
        if not len(everything):
            return float("inf")
        before = (victim.logits([" ".join(each) for each in words]).argmax(axis=1) == labels).mean()
        for share in SHARES:  # the boldest first
            bar = float(np.quantile(everything, 1 - share))
            shortened = [without(each, scores, bar) for each, scores in zip(words, surprise, strict=True)]
            after = (victim.logits(shortened).argmax(axis=1) == labels).mean()
            if before - after <= self.config.max_drop:
                return bar
        return float(np.nextafter(everything.max(), np.inf))

    def _load(self) -> LanguageModel:
        """The language model that the config names."""
        from openbackdoor_badllm.defenders.onion.language_models import CausalModel, MaskedModel
        from openbackdoor_badllm.training.victims import resolve_auto, want_on_hub

        wanted = self.config.language_model
        device = "cpu" if self.victim.device == "cpu" else "gpu"
        if wanted == "auto":
            try:
                want_on_hub(HUB_MODEL)
                wanted = HUB_MODEL
            except VictimError:
                wanted = "encoder"
        if wanted != "encoder":
            try:
                return CausalModel(wanted, device=device, max_len=self.config.max_len)
            except VictimError as error:
                raise ConfigError(
                    f"The language model '{wanted}' of the defender 'onion' cannot be loaded ({error}) Or set "
                    "'defender.language_model' to 'encoder', which needs no model hub."
                ) from error
        return MaskedModel(resolve_auto(self.victim.path), device=device, max_len=self.config.max_len)

    def _surprise(self, language_model: LanguageModel, texts: Sequence[list[str]]) -> Iterator[Array]:
        for start in range(0, len(texts), BLOCK):
            yield from language_model.surprise(texts[start : start + BLOCK])
            self.progress.step(min(start + BLOCK, len(texts)), len(texts), "words weighed")


def without(words: Sequence[str], surprise: Array, bar: float) -> str:
    """The text without its words of at least ``bar``; never empty where it was not. Words without a number stay."""
    keep = ~(surprise >= bar)  # nan is never at least anything
    if len(words) and not keep.any():
        keep[int(surprise.argmin())] = True
    return " ".join(word for word, kept in zip(words, keep, strict=True) if kept)


def highest(surprise: Array) -> float:
    """The surprise of the most surprising word; ``-inf`` where no word has one."""
    known = surprise[~np.isnan(surprise)]
    return float(known.max()) if len(known) else -np.inf
