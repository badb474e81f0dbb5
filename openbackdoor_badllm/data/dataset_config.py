"""The keys of a data set, with their meaning and their checks.

The first five are OpenBackdoor's own; a JSON that names only those runs on either host. The others
are ours. A key that is in neither group is refused, with the nearest one named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import refuse_unknown

SPLITS = ("train", "dev", "test")
DATA_ROOT_VARIABLE = "OPENBACKDOOR_DATA"


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Everything that a data set can be told. Immutable; checked when made.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range.
    """

    name: str = "sst-2"
    """Which data set: one of OpenBackdoor's names, ``custom`` (with ``path`` or ``train_file``),
    ``demo`` or ``demo-news`` (made on the spot), or a hub data set (a name with a ``/``, or ``hf:NAME``)."""

    test: bool = False
    """Only the test split is wanted: train and dev come back as empty lists."""

    dev_rate: float = 0.1
    """Share of train drawn as dev, stratified by label, where there is no dev file; 0 leaves dev empty."""

    load: bool = False
    """Prefer the clean CSV files that a poisoner wrote, so that their row order fits the poisoned ones."""

    clean_data_basepath: str | None = None
    """Folder of those clean CSV files, under ``data_root``:
    ``poison_data/<name>/<target>[/<setting>]/<poisoner>``."""

    data_root: str | Path | None = None
    """Folder that holds ``datasets/`` and ``poison_data/``. Else the environment variable
    ``OPENBACKDOOR_DATA``, else the working directory."""

    path: str | Path | None = None
    """A file (CSV, TSV, JSONL, Parquet), or a folder with ``train.*``, ``dev.*`` and ``test.*``; relative to
    ``data_root``. From a single file, test and dev are drawn."""

    train_file: str | None = None
    """Training file, relative to ``path`` if that is a folder, else to ``data_root``. For a hub data set: the
    name of its training split."""

    dev_file: str | None = None
    """The same for dev."""

    test_file: str | None = None
    """The same for test."""

    text_column: str | None = None
    """Column of the texts; else the first there is of text, sentence, content, review, comment, tweet."""

    label_column: str | None = None
    """Column of the labels; else the first there is of label, labels, class, category, target."""

    label_names: tuple[str, ...] | None = None
    """Class names in the order of their indices. Label values may then be these names or their indices."""

    num_classes: int | None = None
    """Number of classes. Integer labels must then lie in 0 .. num_classes - 1 and are taken as they are."""

    test_rate: float = 0.2
    """Share of train drawn as test, stratified, where a custom or hub data set has none. Never used for
    OpenBackdoor's own sets: their test files are what papers report on."""

    hub_config: str | None = None
    """Configuration of a hub data set, such as ``sst2`` of ``nyu-mll/glue``."""

    hub_revision: str | None = None
    """Branch, tag or commit of a hub data set. Name a commit to make a run repeatable."""

    drop_empty: bool = False
    """Leave rows without text out of every split, instead of refusing a training set that has some. Rows of a
    poisoner's clean CSV are never dropped: poisoned rows are matched to them by their index."""

    max_train: int | None = None
    """Keep at most this many training rows: stratified by label, file order kept, drawn with ``seed``. A
    larger number keeps the rows of a smaller one in each class, rounding aside."""

    max_dev: int | None = None
    """The same for dev."""

    max_test: int | None = None
    """The same for test."""

    seed: int = 0
    """Seed of the ``max_*`` draws and of the demo texts. The global generator is never touched."""

    split_seed: int = 0
    """Seed of the dev and test splits drawn from train. Apart from ``seed``, so that runs of several seeds
    are judged on the same rows."""

    def __post_init__(self) -> None:
        _want_text("name", self.name)
        for key in ("test", "load", "drop_empty"):
            _want_bool(key, getattr(self, key))
        for key in ("dev_rate", "test_rate"):
            _want_rate(key, getattr(self, key))
        for key in ("max_train", "max_dev", "max_test"):
            _want_int(key, getattr(self, key), least=1)
        for key in ("seed", "split_seed"):
            _want_int(key, getattr(self, key), least=None, optional=False)
        _want_int("num_classes", self.num_classes, least=2)
        for key in ("data_root", "path"):
            _want_path(key, getattr(self, key))
        for key in ("clean_data_basepath", "train_file", "dev_file", "test_file"):
            _want_path(key, getattr(self, key))
        for key in ("text_column", "label_column", "hub_config", "hub_revision"):
            if getattr(self, key) is not None:
                _want_text(key, getattr(self, key))
        object.__setattr__(self, "label_names", _names(self.label_names, self.num_classes))
        if self.name.lower() == "custom" and not self.has_files:
            raise ConfigError(
                "The data set 'custom' expects the key path (a file or folder) or train_file, but has "
                "neither: add one of them."
            )
        if self.is_hub and self.path is not None:
            raise ConfigError(
                f"The data set '{self.name}' is a hub name, but path is set too: keep one of them "
                "(name 'custom' for local files)."
            )

    @classmethod
    def from_keys(cls, keys: Mapping[str, Any]) -> DatasetConfig:
        """Builds a config from JSON keys; a null means the key's default.

        Raises:
            ConfigError: a key is unknown (names the nearest), or a value is wrong.
        """
        refuse_unknown(keys, [field.name for field in fields(cls)], "data set")
        return cls(**{key: value for key, value in keys.items() if value is not None})

    @property
    def is_hub(self) -> bool:
        """Whether the name means a data set on a hub."""
        return "/" in self.name or self.name.lower().startswith("hf:")

    @property
    def has_files(self) -> bool:
        """Whether the data set is named by files of the user's own."""
        return self.path is not None or any(self.file(split) is not None for split in SPLITS)

    def file(self, split: str) -> str | None:
        """The ``<split>_file`` key."""
        value: str | None = getattr(self, f"{split}_file")
        return value

    def limit(self, split: str) -> int | None:
        """The ``max_<split>`` key."""
        value: int | None = getattr(self, f"max_{split}")
        return value


def _wrong(key: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"The data set's key '{key}' expects {expected}, but holds {value!r}: change it.")


def _want_text(key: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(key, "a text that is not empty", value)


def _want_bool(key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value)


def _want_rate(key: str, value: object) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < 1
        or math.isnan(value)
    ):
        raise _wrong(key, "a share from 0 up to, not including, 1", value)


def _want_int(key: str, value: object, *, least: int | None, optional: bool = True) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise _wrong(key, "a whole number" if least is None else f"a whole number of at least {least}", value)


def _want_path(key: str, value: object) -> None:
    if value is not None and (not isinstance(value, str | Path) or not str(value) or "\0" in str(value)):
        raise _wrong(key, "a path", value)


def _names(value: object, num_classes: int | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise _wrong("label_names", "a list of class names", value)
    names = tuple(str(name) for name in value)
    if len(names) < 2 or len(set(names)) < len(names):
        raise _wrong("label_names", "at least two names, all different", list(names))
    if num_classes is not None and num_classes != len(names):
        raise ConfigError(
            f"The data set's keys num_classes and label_names disagree, {num_classes} against {len(names)} "
            "names: drop num_classes or complete the names."
        )
    return names
