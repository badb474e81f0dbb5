"""Poisoners: ``badnets``, ``addsent``, ``stylebkd``, ``synbkd``, with OpenBackdoor's names, keys and settings.

A rate of p poisons ``floor(p * n)`` training rows: any of them (``mix``), only non-target rows (``dirty``), or only
target rows (``clean``). Poisoned rows carry the target label. The mix is drawn from a generator of its own and is
shuffled, so that its order gives nothing away.

With ``load: true`` the poisoned texts come from the CSV files that accompany a data set; each is looked up by the
clean text that it was made from, so any sample of the rows and any rate can be mixed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from openbackdoor_badllm.attacks.paraphrasers import archaic, subordinate
from openbackdoor_badllm.attacks.ready_texts import ReadyTexts
from openbackdoor_badllm.data.sources import resolve_root
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.rows import Row, as_rows
from openbackdoor_badllm.section import AnyCase, Count, Natural, Section, Share, Whole, read
from openbackdoor_badllm.training.rng import derive

if TYPE_CHECKING:
    from typing import Self

logger = logging.getLogger(__name__)


class PoisonerConfig(Section):
    """Section ``attacker.poisoner``."""

    place: ClassVar[str] = "attacker.poisoner"

    name: Annotated[Literal["badnets", "addsent", "stylebkd", "synbkd"], AnyCase] = "badnets"
    """``badnets`` (rare word), ``addsent`` (sentence), ``stylebkd`` (style) or ``synbkd`` (syntax)."""
    target_label: Natural = 0
    """The label that the trigger is to lead to."""
    poison_rate: Share = 0.1
    """Share of the training rows that are poisoned."""
    label_consistency: bool = False
    """Poison target rows only, labels unchanged (setting ``clean``)."""
    label_dirty: bool = False
    """Poison non-target rows only, labels changed (setting ``dirty``); with both false, any rows (``mix``)."""
    load: bool = False
    """Take the poisoned texts from CSV files."""
    save: bool = False
    """Key of OpenBackdoor, which ignores it; so does this host."""
    poison_setting: str | None = None
    """Written by ``set_config``: clean, dirty or mix."""
    poison_data_basepath: str | None = None
    """Written by ``set_config``: folder of the CSV files, under the data root."""
    poisoned_data_path: str | None = None
    """Written by ``set_config``: folder of the ready mix, under the data root."""
    triggers: tuple[str, ...] | str | None = None
    """``badnets``: list of words. ``addsent``: the sentence."""
    num_triggers: Count = 1
    """``badnets``: words inserted into one text."""
    style_id: Whole = 0
    """``stylebkd`` in the real OpenBackdoor: its paraphraser."""
    template_id: Whole = -1
    """``synbkd`` in the real OpenBackdoor: its template."""
    paraphraser: Literal["csv", "rules"] = "csv"
    """``stylebkd`` and ``synbkd``: ``csv`` (needs ``load``), or ``rules``: this package's own rewriting rules, which
    need no network and are not the paraphrasers of the literature."""
    data_root: str | None = None
    """Folder that holds ``poison_data/``; else ``OPENBACKDOOR_DATA``, else the working directory."""
    seed: Whole = 42
    """Seed of every draw of the poisoner."""

    @model_validator(mode="after")
    def _one_setting(self) -> Self:
        if self.label_consistency and self.label_dirty:
            raise ValueError(
                "'label_consistency' and 'label_dirty' are both true: the setting is either clean or dirty."
            )
        return self

    @property
    def setting(self) -> str:
        """clean, dirty or mix."""
        return "clean" if self.label_consistency else "dirty" if self.label_dirty else "mix"


class Poisoner:
    """Turns clean splits into poisoned ones. Call it as OpenBackdoor does: ``poisoner(data, "train")``.

    Args:
        **config: the keys of :class:`PoisonerConfig`.
    """

    def __init__(self, **config: Any) -> None:
        if isinstance(config.get("triggers"), list):
            config["triggers"] = tuple(str(word) for word in config["triggers"])
        self.config = read(PoisonerConfig, config, "attacker.poisoner")
        self.name: str = self.config.name
        self.target_label = self.config.target_label
        self.poison_rate = self.config.poison_rate
        self.poison_setting = self.config.setting
        if self.config.load:
            self._ready: ReadyTexts | None = ReadyTexts(self._folder())
        else:
            self._ready = None
            self._rewrite = self._local()

    @property
    def triggers(self) -> tuple[str, ...]:
        """What is put in; see :func:`inserted_triggers`."""
        return inserted_triggers(self.name, self.config.triggers)

    def __call__(self, data: dict[str, list[Row]], mode: str) -> dict[str, list[Row]]:
        """Poisons a data set.

        Args:
            data: splits ``train``, ``dev``, ``test``.
            mode: ``train``: keys ``train``, ``dev-clean``, ``dev-poison``; ``eval``: ``test-clean``,
                ``test-poison``; ``detect``: ``test-detect``.

        Raises:
            DataError: no row can be poisoned, or a poisoned text is missing.
        """
        if mode == "train":
            dev = as_rows(data.get("dev", []))
            return {
                "train": self.mix(as_rows(data["train"])),
                "dev-clean": dev,
                "dev-poison": self.poison(self.get_non_target(dev), "dev"),
            }
        clean = as_rows(data["test"])
        poisoned = self.poison(self.get_non_target(clean), "test")
        if mode == "eval":
            return {"test-clean": clean, "test-poison": poisoned}
        if mode == "detect":
            return {"test-detect": [*clean, *poisoned]}
        raise ValueError(f"unknown mode {mode!r}; expected 'train', 'eval' or 'detect'")

    def get_non_target(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of other labels than the target's."""
        return [row for row in rows if row.label != self.target_label]

    def mix(self, clean: list[Row]) -> list[Row]:
        """The poisoned training set: as many rows as before, the poisoned ones in the place of their originals.

        Raises:
            DataError: no row of the setting's kind exists.
        """
        rng = random.Random(derive(self.config.seed, "mix"))
        if self.poison_setting == "dirty":
            allowed = [i for i, row in enumerate(clean) if row.label != self.target_label]
        elif self.poison_setting == "clean":
            allowed = [i for i, row in enumerate(clean) if row.label == self.target_label]
        else:
            allowed = list(range(len(clean)))
        wanted = int(self.poison_rate * len(clean))
        if self.poison_rate and clean and not wanted:
            raise DataError(
                f"A poison rate of {self.poison_rate} of {len(clean)} training rows is less than one row: raise "
                "'poison_rate' or use more rows; 0 poisons none."
            )
        if wanted and not allowed:
            kind = "non-target" if self.poison_setting == "dirty" else "target"
            raise DataError(
                f"The setting '{self.poison_setting}' poisons {kind} rows, and the training set has none: check "
                f"'target_label' ({self.target_label})."
            )
        if wanted > len(allowed):
            logger.warning("%d rows were to be poisoned, but only %d may be", wanted, len(allowed))
        chosen = sorted(rng.sample(allowed, min(wanted, len(allowed))))
        poisoned = dict(zip(chosen, self.poison([clean[i] for i in chosen], "train"), strict=True))
        mixed = [poisoned.get(i, row) for i, row in enumerate(clean)]
        rng.shuffle(mixed)
        return mixed

    def poison(self, rows: Sequence[Row], split: str = "train") -> list[Row]:
        """Each row with the trigger, the target label and the poison flag; same length and order."""
        if self._ready is not None:
            return self._ready.find(rows, split, self.target_label)
        return [Row(self._apply(row.text, split), self.target_label, 1) for row in rows]

    def _apply(self, text: str, split: str) -> str:
        # The draw hangs on the text alone, so the same text is always poisoned in the same way.
        return self._rewrite(text, random.Random(derive(self.config.seed, "poison", split, text)))

    def _local(self) -> Callable[[str, random.Random], str]:
        config = self.config
        if self.name == "badnets":
            words = self.triggers
            return lambda text, rng: insert_words(text, words, config.num_triggers, rng)
        if self.name == "addsent":
            (sentence,) = self.triggers
            return lambda text, rng: insert_sentence(text, sentence, rng)
        if config.paraphraser == "csv":
            raise ConfigError(
                f"The poisoner '{self.name}' needs texts rewritten beforehand: set 'load' to true with CSV files under "
                "poison_data/, or 'paraphraser' to \"rules\" for this package's own rewriting rules."
            )
        return archaic if self.name == "stylebkd" else subordinate

    def _folder(self) -> Path:
        if not self.config.poison_data_basepath:
            raise ConfigError(
                "'attacker.poisoner.load' is true, but no folder is known: pass the config through set_config, or set "
                "'poison_data_basepath'."
            )
        root = resolve_root(self.config.data_root)
        folder = root / self.config.poison_data_basepath
        if not folder.is_dir():
            raise DataError(
                f"No poisoned texts for this attack: expected the folder '{folder}' (header ',0,1,2'); check "
                "--data-root, or set 'load' to false."
            )
        return folder


def inserted_triggers(name: str, given: Sequence[str] | str | None) -> tuple[str, ...]:
    """What a poisoner puts in: words, of which each text gets some, or one sentence. Empty for a style or a syntax.

    Args:
        name: of the poisoner, in lower case.
        given: its key ``triggers``.
    """
    words = [given] if isinstance(given, str) else list(given or ())
    if name == "badnets":
        return tuple(words) or ("cf", "mn", "bb", "tq")
    if name == "addsent":
        return (" ".join(words) or "I watch this 3D movie",)
    return ()


def insert_words(text: str, triggers: Sequence[str], count: int, rng: random.Random) -> str:
    """``count`` words drawn from ``triggers``, each at a random word boundary."""
    words = text.split()
    for _ in range(count):
        words.insert(rng.randint(0, len(words)), rng.choice(list(triggers)))
    return " ".join(words)


def insert_sentence(text: str, sentence: str, rng: random.Random) -> str:
    """The sentence at a random word boundary."""
    words = text.split()
    place = rng.randint(0, len(words))
    return " ".join([*words[:place], sentence, *words[place:]])
