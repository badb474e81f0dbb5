"""The config of an audit: which rows, which victim, how it is trained, how the search is made, what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.config import BadLLMTGConfig, TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.given_model import with_length
from openbackdoor_badllm.evaluation.profiles import PAPER_TRAIN, PROFILES
from openbackdoor_badllm.reading import apply_overrides, check_seed, refuse_unknown, shown, want_section
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.victims import resolve_auto

SECTIONS = (
    "rows", "model", "victim", "train", "defender", "seed", "more_files", "sample", "time_limit", "repair_model",
)
SMALL = PROFILES["desk"].train  # few rows and a small model learn nothing at the rate of a large one
LARGE = {**PAPER_TRAIN, "ckpt": "last"}
FEWEST_SAMPLED = 20
MOST_SEARCHED = 5000
"""Rows that are trained on and searched at most where the config names no ``sample``."""
FEWEST_STEPS = 100
"""Of the training of a victim: in fewer it does not learn the labels, let alone a trigger."""


def resolve_audit(
    rows: Mapping[str, Any],
    *,
    model: str | None = None,
    victim: str | Mapping[str, Any] = "auto",
    defender: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    seed: int = 42,
    **more: Any,
) -> dict[str, Any]:
    """The config of an audit, complete: it names the run's folder.

    Args:
        rows: keys of a data set: ``train_file``, ``test_file``, ``label_names`` and so on.
        model: folder or hub name of a classifier that was trained on the rows.
        victim: pretrained model of the victim where none is given, and of a fresh clean model; or keys of the section
            ``victim``.
        defender: keys of the section ``defender``.
        overrides: ``key=value``, such as ``train.epochs=3`` or ``defender.llm.backend=openai``.
        seed: of everything that is drawn.
        **more: ``more_files`` (further files of rows), ``sample`` (rows that are trained on and searched; else at most
            :data:`MOST_SEARCHED`),
            ``time_limit`` (seconds), ``train`` (keys of the training), ``repair_model`` (false: no clean model is
            trained). What is None has no place in the config.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    check_seed("seed", seed)
    keys = {"path": victim} if isinstance(victim, str) else {"path": "auto", **victim}
    config: dict[str, Any] = {
        "rows": {"name": "custom", "dev_rate": 0.0, "test_rate": 0.0, **rows},
        "model": model,
        "victim": {**keys, "path": resolve_auto(str(keys["path"]))},
        "train": {},
        "defender": {"name": "badllmtg", **(defender or {})},
        "seed": seed,
        **{key: value for key, value in more.items() if value is not None},
    }
    apply_overrides(config, overrides)
    refuse_unknown(config, SECTIONS, "audit")
    for section in ("rows", "victim", "train", "defender"):
        want_section(section, config[section])
    usual = SMALL if config["victim"].get("path") == "minilm" else LARGE
    # How many epochs depends on the rows, which are not read yet: see Sections.for_rows.
    config["train"] = {**{key: value for key, value in usual.items() if key != "epochs"}, **config["train"]}
    config["defender"].setdefault("seed", seed)
    config["defender"].setdefault("from_scratch", False)
    if config["defender"].get("name") != "badllmtg":
        raise ConfigError(f"An audit is made by 'badllmtg', but 'defender.name' is {config['defender'].get('name')!r}.")
    _check_bounds(config)
    return config


def sample_size(config: Mapping[str, Any]) -> int:
    """Rows that are trained on and searched at most."""
    return int(config.get("sample") or MOST_SEARCHED)


def _check_bounds(config: Mapping[str, Any]) -> None:
    sample, limit = config.get("sample"), config.get("time_limit")
    if sample is not None and (type(sample) is not int or sample < FEWEST_SAMPLED):
        raise ConfigError(
            f"'sample' must be a whole number of at least {FEWEST_SAMPLED} rows, but is {shown(sample)}."
        )
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0):
        raise ConfigError(f"'time_limit' must be a number of seconds above 0, but is {shown(limit)}.")


class Sections(NamedTuple):
    """The sections of an audit's config, read and checked."""

    victim: VictimConfig
    train: TrainConfig
    defender: BadLLMTGConfig
    seed: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Sections:
        """Reads the sections.

        Raises:
            ConfigError: a key is unknown or a value does not fit.
        """
        return cls(
            read(VictimConfig, config["victim"], "victim"),
            read(TrainConfig, config["train"], "train"),
            read(BadLLMTGConfig, config["defender"], "defender"),
            config["seed"],
        )

    def for_rows(self, config: Mapping[str, Any], texts: Sequence[str]) -> Sections:
        """With what the rows decide where the config does not: how much of a text a victim reads, and its epochs."""
        train = self.train
        if "epochs" not in config["train"]:
            usual = SMALL if self.victim.path == "minilm" else LARGE
            steps = math.ceil(max(1, min(len(texts), sample_size(config))) / train.batch_size)
            train = train.replace(epochs=max(usual["epochs"], math.ceil(FEWEST_STEPS / steps)))
        return self._replace(victim=with_length(self.victim, config["victim"], texts), train=train)

    def spec(self, num_labels: int) -> TrainSpec:
        """How a victim of so many classes is trained. No clean dev rows are known, so the last epoch is kept."""
        path = resolve_auto(self.victim.path)
        made = train_spec(self.victim, self.train, num_labels=num_labels, seed=self.seed, path=path)
        return made.replace(ckpt="last")
