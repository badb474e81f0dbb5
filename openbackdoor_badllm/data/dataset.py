"""``load_dataset``, with OpenBackdoor's signature and keys, and some keys of our own.

What differs from OpenBackdoor, on purpose: rows keep the order of their file (it shuffles each split with the
global generator), dev is drawn stratified and with a private generator, texts are never turned into NaN, a
misspelt key is refused, and data that cannot be used is told in a sentence.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openbackdoor_badllm.data.checks import require_label, treat_empty, validate_splits
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.data.labels import ClassMap, apply_classes, learn_classes
from openbackdoor_badllm.data.poison_csv import read_poison_csv, write_poison_csv
from openbackdoor_badllm.data.sources import Source, read_source
from openbackdoor_badllm.data.stratified import split_off, stratified_sample
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

__all__ = [
    "DatasetConfig",
    "DatasetInfo",
    "Splits",
    "load_dataset",
    "read_poison_csv",
    "require_label",
    "validate_splits",
    "write_poison_csv",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetInfo:
    """How a data set came about.

    Attributes:
        name: as the config says it.
        source: file (or hub split) of each split; a drawn dev or test names the training file.
        label_names: class names in the order of their indices; digits where there are none.
        label_index: class index of each label value in the files.
        positions: for each split, which rows of its source it holds (0-based, header not counted).
        empty: texts found empty in each source, dropped or kept.
        dropped: how many of those were left out.
    """

    name: str
    source: Mapping[str, str]
    label_names: tuple[str, ...]
    label_index: Mapping[str, int]
    positions: Mapping[str, Sequence[int]]
    empty: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.label_names)


class Splits(dict[str, list[Row]]):
    """``{"train": rows, "dev": rows, "test": rows}``: a plain dict to OpenBackdoor, with ``.info`` for us."""

    def __init__(self, splits: Mapping[str, list[Row]], info: DatasetInfo) -> None:
        super().__init__(splits)
        self.info = info

    def __reduce__(self) -> tuple[Any, ...]:
        return Splits, (dict(self), self.info)


def load_dataset(
    test: bool = False,
    name: str = "sst-2",
    dev_rate: float = 0.1,
    load: bool | None = False,
    clean_data_basepath: str | None = None,
    **ours: Any,
) -> Splits:
    """Loads a data set. Call it with a config's keys: ``load_dataset(**config["target_dataset"])``.

    Args:
        test: only the test split is wanted; train and dev come back empty.
        name: data set name; see :class:`DatasetConfig`.
        dev_rate: share of train drawn as dev where there is no dev file.
        load: prefer the clean CSV files that a poisoner wrote.
        clean_data_basepath: folder of those files.
        **ours: the further keys of :class:`DatasetConfig`.

    Returns:
        Rows by split, in file order, with ``.info`` about their origin and the label mapping.

    Raises:
        ConfigError: a key is unknown or has a wrong value.
        DataError: the data cannot be found or cannot be used.
        MissingExtraError: an optional package is needed.
    """
    openbackdoors = {
        "test": test,
        "name": name,
        "dev_rate": dev_rate,
        "load": load,
        "clean_data_basepath": clean_data_basepath,
    }
    config = DatasetConfig.from_keys({**openbackdoors, **ours})
    return assemble(config, read_source(config))


def assemble(config: DatasetConfig, source: Source) -> Splits:
    """A data set from its raw splits: classes learnt, empty texts treated, missing splits drawn, all of it checked.

    Raises:
        DataError: the data cannot be used.
    """
    pool = _Pool.from_source(config, source)
    pool.draw_missing(config, source)
    pool.limit(config)
    splits = {split: pool.rows.get(split, []) for split in ("train", "dev", "test")}
    validate_splits(
        splits, pool.classes.num_classes, name=f"data set '{config.name}'", label_names=pool.classes.names
    )
    info = pool.info(config)
    logger.info(
        "Data set %s: %s; classes %s.",
        config.name,
        ", ".join(f"{split} {len(rows)}" for split, rows in splits.items()),
        ", ".join(info.label_names),
    )
    return Splits(splits, info)


@dataclass
class _Pool:
    """The rows of each split on their way, with the positions that they had in their source."""

    classes: ClassMap
    rows: dict[str, list[Row]]
    positions: dict[str, Sequence[int]]
    where: dict[str, str]
    empty: dict[str, int]
    dropped: dict[str, int]

    @classmethod
    def from_source(cls, config: DatasetConfig, source: Source) -> _Pool:
        tables = source.tables
        classes = source.classes
        if classes is None:
            first = tables["train" if "train" in tables else next(iter(tables))]
            classes = learn_classes(first, config.label_names, config.num_classes)
        if config.test and "test" in tables:
            tables = {"test": tables["test"]}
        pool = cls(classes, {}, {}, {split: table.where for split, table in tables.items()}, {}, {})
        for split, table in tables.items():
            pool._add(split, table, config, source.aligned)
        return pool

    def _add(self, split: str, table: Table, config: DatasetConfig, aligned: bool) -> None:
        kept, self.empty[split] = treat_empty(table, split, drop=config.drop_empty, aligned=aligned)
        self.dropped[split] = len(table.records) - len(kept.records)
        self.positions[split] = range(len(table.records))
        if self.dropped[split]:
            numbers = {record.number for record in kept.records}
            self.positions[split] = [i for i, record in enumerate(table.records) if record.number in numbers]
        self.rows[split] = apply_classes(self.classes, kept)

    def draw_missing(self, config: DatasetConfig, source: Source) -> None:
        """Draws the splits that the source lacks from train: test first, as nothing may be trained on it."""
        if "test" not in self.rows:
            if not source.may_draw_test or "train" not in self.rows:
                raise _missing(config.name, "test", self.where)
            self._draw("test", config.test_rate, config.split_seed)
        if config.test:
            for split in ("train", "dev"):
                self.rows.pop(split, None)
                self.positions.pop(split, None)
            return
        if "train" not in self.rows:
            raise _missing(config.name, "train", self.where)
        if "dev" not in self.rows:
            self._draw("dev", config.dev_rate, config.split_seed)

    def _draw(self, split: str, rate: float, seed: int) -> None:
        rows, positions = self.rows["train"], self.positions["train"]
        if not rate:
            self.rows[split], self.positions[split], self.where[split] = [], (), self.where["train"]
            return
        kept, drawn = split_off([row.label for row in rows], rate, random.Random(f"{seed}/{split}"))
        self._select(split, drawn, rows, positions)
        self._select("train", kept, rows, positions)
        self.where[split] = self.where["train"]
        logger.warning("No %s split: drew %d rows (%g of train), stratified by label.", split, len(drawn), rate)

    def limit(self, config: DatasetConfig) -> None:
        """Applies the ``max_*`` keys."""
        for split, rows in list(self.rows.items()):
            most = config.limit(split)
            if most is not None and most < len(rows):
                rng = random.Random(f"{config.seed}/{split}")
                chosen = stratified_sample([row.label for row in rows], most, rng)
                self._select(split, chosen, rows, self.positions[split])

    def _select(
        self, split: str, chosen: Sequence[int], rows: Sequence[Row], positions: Sequence[int]
    ) -> None:
        self.rows[split] = [rows[i] for i in chosen]
        self.positions[split] = [positions[i] for i in chosen]

    def info(self, config: DatasetConfig) -> DatasetInfo:
        return DatasetInfo(
            name=config.name,
            source={split: self.where[split] for split in self.rows},
            label_names=self.classes.names,
            label_index=dict(self.classes.index),
            positions={split: at if isinstance(at, range) else tuple(at) for split, at in self.positions.items()},
            empty=dict(self.empty),
            dropped=dict(self.dropped),
        )


def _missing(name: str, split: str, where: Mapping[str, str]) -> DataError:
    there = ", ".join(f"{other} ({path})" for other, path in where.items()) or "none"
    return DataError(
        f"The data set '{name}' should have a {split} file, but has only {there}: add it beside, or name it "
        f"with {split}_file."
    )
