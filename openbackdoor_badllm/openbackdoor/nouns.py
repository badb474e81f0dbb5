"""The real OpenBackdoor's victims, attackers and defenders with the built-in host's interface.

Data sets are read by this package's own reader (same rows on both hosts, samples, any file), and so are ready poisoned
texts (``load``). Everything else is OpenBackdoor's: its victims, poisoners, trainers, attackers, defenders, its routing
of a defender through an evaluation, its metrics.

What is kept from it, from outside: it writes nothing into the working directory (its checkpoints go to a temporary
folder, its CSV files nowhere), prints nothing, and draws from the global generators only inside a seeded block, so
that equal seeds poison equal rows with and without a defence. A detector is given the very texts that the attack is
scored on; left alone, OpenBackdoor poisons the test rows a second time for it and applies its flags to the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from openbackdoor_badllm import defenders
from openbackdoor_badllm.attacks.attacker import Attacker, Evaluation
from openbackdoor_badllm.attacks.poisoner import Poisoner
from openbackdoor_badllm.attacks.victim import PLMVictim
from openbackdoor_badllm.config import TrainConfig, train_spec
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.openbackdoor.completing import BATCH_SIZE, complete, only
from openbackdoor_badllm.openbackdoor.foreign import Foreign, Watched
from openbackdoor_badllm.openbackdoor.rebuilding import Answering
from openbackdoor_badllm.openbackdoor.settings import set_config
from openbackdoor_badllm.openbackdoor.working import at_work
from openbackdoor_badllm.reading import one_of, want_section
from openbackdoor_badllm.rows import Row, as_rows
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.rng import derive
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.victims import resolve

FOLDERS = ("poison_data_basepath", "poisoned_data_path")  # where it would write CSV files, over yours if need be
SPLITS = ("test-clean", "test-poison")
SCRIPTS_ONLY = {
    "neuba": "it attacks the pretrained model and poisons no training rows that could be repaired",
    "por": "it attacks the pretrained model and poisons no training rows that could be repaired",
    "lws": "it needs a GPU and word lists from the network, and rewrites rows while the victim is trained",
}


@dataclass
class Nouns:
    """The loaders of a host, on one OpenBackdoor.

    Attributes:
        framework: the imported package.
    """

    framework: ModuleType

    def set_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Adds the poison setting and the folders, and what OpenBackdoor would miss; see :func:`complete`."""
        completed = complete(config)
        config.clear()
        config.update(completed)
        return set_config(config)

    def load_victim(self, config: dict[str, Any]) -> Victim:
        """The victim of a section ``victim``; built when it is trained."""
        return Victim(**config)

    def load_attacker(self, config: dict[str, Any]) -> UpstreamAttacker:
        """The attacker of a section ``attacker``: any of OpenBackdoor's.

        Raises:
            ConfigError: it has none of that name, or none that poisons training rows.
        """
        return UpstreamAttacker(self.framework, config)

    def load_defender(self, config: dict[str, Any]) -> Defender:
        """The defender of a section ``defender``: OpenBackdoor's own, or one of ours beside them.

        Raises:
            ConfigError: unknown name, or a key that one of ours does not know.
        """
        registry = self.framework.defenders.DEFENDERS
        name = str(config.get("name", "")).lower()
        one_of("defender.name", name, registry)
        if registry[name] is defenders.for_framework(name.removesuffix("+")):
            return defenders.load_defender(config)
        return Foreign(registry[name], config)


class Victim(PLMVictim):
    """A victim; ``trained`` holds OpenBackdoor's own model once it is trained.

    Attributes:
        inner: OpenBackdoor's victim.
    """

    inner: Any = None

    def build(self, framework: ModuleType) -> Any:
        """OpenBackdoor's victim, untrained."""
        section = {**vars(self.config), "path": resolve(self.path), "num_classes": self.config.num_classes or 2}
        self.inner = framework.victims.load_victim(section)
        return self.inner

    def adopt(self, inner: Any, train: TrainConfig, seed: int) -> None:
        """Takes OpenBackdoor's trained victim."""
        self.inner = inner
        spec = train_spec(self.config, train, num_labels=self.config.num_classes or 2, seed=seed, path=self.path)
        inner.plm.eval()  # without a dev split it is left in training mode
        self.trained = TrainedClassifier(inner.plm, inner.tokenizer, spec.replace(precision="fp32"))

    def answering(self) -> Any:
        """What OpenBackdoor evaluates: its own victim, or the model that a defence has put in its place."""
        plain = self.inner is not None and type(self.trained) is TrainedClassifier
        own = plain and self.trained is not None and self.trained.model is self.inner.plm
        return self.inner if own else Answering(self)


class _Trainer:
    """What a run wants to know of a trainer: its config, and places for a store and a listener."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        self.config = read(TrainConfig, {**only(TrainConfig, section), "name": "base"}, "attacker.train")
        self.seed = self.config.seed if self.config.seed is not None else 42
        self.store: Store | None = None  # not used: OpenBackdoor trains anew each time
        self.progress: Progress | None = None


class UpstreamAttacker(Attacker):
    """One of OpenBackdoor's attackers.

    Args:
        framework: the imported package.
        section: section ``attacker``; keys that OpenBackdoor's own classes do not know are swallowed by them.

    Raises:
        ConfigError: there is no attacker, poisoner or trainer of that name.
    """

    def __init__(self, framework: ModuleType, section: Mapping[str, Any]) -> None:
        for part in ("poisoner", "train"):
            want_section(f"attacker.{part}", section.get(part) or {})
        self.framework = framework
        self.section = dict(section)
        poisoner, train = dict(section.get("poisoner") or {}), dict(section.get("train") or {})
        for where, given, known in (
            ("attacker.name", section.get("name", "base"), framework.attackers.ATTACKERS),
            ("attacker.poisoner.name", poisoner.get("name", ""), framework.attackers.poisoners.POISONERS),
            ("attacker.train.name", train.get("name", "base"), framework.trainers.TRAINERS),
        ):
            one_of(where, str(given).lower(), known)
        self.name = str(section.get("name", "base")).lower()
        if self.name in SCRIPTS_ONLY:
            raise ConfigError(
                f"The attacker '{self.name}' cannot be run here ({SCRIPTS_ONLY[self.name]}): use OpenBackdoor's own "
                "scripts (docs/openbackdoor.md)."
            )
        self._ready = Poisoner(**poisoner) if _has_ready_texts(poisoner) else None
        self.poison_trainer: Any = _Trainer(train)
        self.seed = self.poison_trainer.seed
        self.evaluation = Evaluation()
        self._data: dict[str, list[Row]] = {}
        with tempfile.TemporaryDirectory() as folder, self._at_work("construct"):
            self.poisoner: Any = self._make(folder).poisoner

    def poison(self, victim: Any, dataset: Mapping[str, Sequence[Any]], mode: str) -> dict[str, list[Any]]:
        """The poisoned splits; the same for the same rows whenever it is called."""
        data = {split: as_rows(rows) for split, rows in dataset.items()}
        if mode == "train":
            self._data = data
        with tempfile.TemporaryDirectory() as folder, self._at_work("poison", mode):
            inner = self._make(folder)
            if self._ready is not None:
                ready = self._ready
                inner.poisoner.poison = lambda rows: _rewritten(ready, rows, _split(data, rows, mode))
            given = {split: list(rows) for split, rows in data.items()}  # some shuffle in place
            if mode == "train":
                given["train"] = data["train"] if self._ready is not None else given["train"]
            return {split: list(rows) for split, rows in inner.poison(victim, given, mode).items()}

    def train(self, victim: Any, dataset: Mapping[str, Sequence[Any]]) -> Any:
        """OpenBackdoor's whole attack, in which the poisoned rows are those of ``dataset``."""
        with tempfile.TemporaryDirectory() as folder, self._at_work("train"):
            inner = self._make(folder)
            poisoned = {split: list(rows) for split, rows in dataset.items()}
            inner.poison = lambda *_: poisoned
            clean = {split: list(rows) for split, rows in self._data.items()}
            trained = inner.attack(victim.build(self.framework), clean)
        victim.adopt(trained, self.poison_trainer.config, self.seed)
        return victim

    def eval(
        self, victim: Any, dataset: Mapping[str, Sequence[Any]], defender: Defender | None = None
    ) -> dict[str, dict[str, float]]:
        """OpenBackdoor's evaluation, with its routing of a defender; see the built-in attacker's."""
        watched = Watched(defender) if defender is not None and not defender.pre else None
        data = {split: as_rows(rows) for split, rows in dataset.items()}
        scored = self.poison(victim, data, "eval")
        with tempfile.TemporaryDirectory() as folder, self._at_work("eval"):
            inner = self._make(folder)
            inner.poison = lambda *arguments: _again(scored, arguments[-1])
            found = inner.eval(victim.answering(), data, watched)
        rows = {split: as_rows(scored[split]) for split in SPLITS}
        flagged = {split: np.zeros(len(rows[split]), dtype=bool) for split in SPLITS}
        if watched is not None and watched.corrected:
            rows = {split: as_rows(done) for split, done in zip(SPLITS, watched.corrected, strict=True)}
            flagged = {split: np.zeros(len(rows[split]), dtype=bool) for split in SPLITS}
        elif watched is not None:
            flags, count = np.asarray(watched.flags).astype(bool), len(rows["test-clean"])
            flagged = {"test-clean": flags[:count], "test-poison": flags[count:]}
        predictions = {split: victim.logits([row.text for row in rows[split]]).argmax(axis=1) for split in SPLITS}
        labels = [row.label for row in as_rows(scored["test-clean"])]
        target = self.poisoner.target_label
        self.evaluation = Evaluation(
            rows, predictions, flagged,
            originals={"test-clean": labels, "test-poison": [label for label in labels if label != target]},
        )
        return {split: dict(figures) for split, figures in found.items() if isinstance(figures, dict)}

    def _make(self, folder: str) -> Any:
        """A fresh attacker of OpenBackdoor, whose checkpoints go to ``folder``."""
        poisoner = {key: value for key, value in self.section["poisoner"].items() if key not in FOLDERS}
        poisoner["load"] = False
        train = {"name": "base", "batch_size": BATCH_SIZE, **self.section.get("train", {}), "save_path": folder}
        kind = self.framework.attackers.ATTACKERS[self.name]
        return kind(**{**self.section, "poisoner": poisoner, "train": train})

    def _at_work(self, *path: str) -> AbstractContextManager[None]:
        return at_work(derive(self.seed, "upstream", *path))


def _again(scored: Mapping[str, list[Any]], mode: str) -> dict[str, list[Any]]:
    """The poisoned test rows of this evaluation, in the shape that ``mode`` has."""
    if mode == "detect":
        return {"test-detect": [row for split in SPLITS for row in scored[split]]}
    return {split: list(rows) for split, rows in scored.items()}


def _has_ready_texts(poisoner: Mapping[str, Any]) -> bool:
    return bool(poisoner.get("load")) or poisoner.get("paraphraser") == "rules"


def _split(data: Mapping[str, list[Row]], rows: Sequence[Row], mode: str) -> str:
    if mode != "train":
        return "test"
    return "train" if rows is data["train"] else "dev"


def _rewritten(ready: Poisoner, rows: Sequence[Row], split: str) -> list[Row]:
    """Ready texts; rows that the setting never poisons need none and stay as they are."""
    if ready.poison_setting != "dirty":
        return ready.poison(rows, split)
    done = iter(ready.poison(ready.get_non_target(rows), split))
    return [row if row.label == ready.target_label else next(done) for row in rows]
