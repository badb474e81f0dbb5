"""From a data set's config to raw tables: files, a hub, the demo, or OpenBackdoor's own layouts."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from openbackdoor_badllm.data.dataset_config import DATA_ROOT_VARIABLE, SPLIT_NAMES, SPLITS, DatasetConfig
from openbackdoor_badllm.data.demo import CLASSES, demo_rows
from openbackdoor_badllm.data.hub import read_hub
from openbackdoor_badllm.data.labels import ClassMap, plain_label
from openbackdoor_badllm.data.layouts import LAYOUTS, layout_of, read_named
from openbackdoor_badllm.data.poison_csv import read_poison_table
from openbackdoor_badllm.data.structured import SUFFIXES, read_table, saved_splits
from openbackdoor_badllm.data.table_files import Record, Table
from openbackdoor_badllm.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

SETTINGS = ("clean", "dirty", "mix")


@dataclass(frozen=True)
class Source:
    """Raw splits, and what is known about them.

    Attributes:
        tables: the splits that are there.
        classes: the label mapping where the source fixes it; None where it is learned from the values.
        aligned: other files refer to the rows by index, so none may be dropped.
        may_draw_test: a missing test split may be drawn from train.
    """

    tables: dict[str, Table]
    classes: ClassMap | None = None
    aligned: bool = False
    may_draw_test: bool = False


def read_source(config: DatasetConfig) -> Source:
    """Reads what the config means: a poisoner's CSVs, files, a hub, the demo, or OpenBackdoor's sets.

    Raises:
        ConfigError: the name is unknown.
        DataError: the data cannot be found or read.
        MissingExtraError: an optional package is needed.
    """
    root = data_root(config)
    name = config.name.lower()
    if config.load:
        folder = find_clean_folder(config.clean_data_basepath, root)
        if folder is not None:
            return _clean_source(folder, config)
    if config.is_hub:
        return _table_source(read_hub(config, root), config)
    if config.has_files:
        return _table_source(_file_tables(config, root), config)
    if name in CLASSES:
        return _demo_source(name, config)
    layout = layout_of(name)
    _check_class_keys(config, layout.num_classes)
    return Source(read_named(name, root), layout.classes(config.label_names))


def data_root(config: DatasetConfig) -> Path:
    """The folder under which all data is looked for; see :func:`resolve_root`."""
    return resolve_root(config.data_root)


def resolve_root(named: str | Path | None) -> Path:
    """The named folder, else ``OPENBACKDOOR_DATA``, else the working directory.

    Raises:
        DataError: it was named, but is no folder.
    """
    chosen = named if named is not None else os.environ.get(DATA_ROOT_VARIABLE) or None
    root = Path(chosen).expanduser() if chosen is not None else Path.cwd()
    if not root.is_dir():
        key = "data_root" if named is not None else DATA_ROOT_VARIABLE
        raise DataError(
            f"The data root {root} should be a folder, but is none: set {key} to one that is there."
        )
    return root


def find_clean_folder(basepath: str | None, root: Path) -> Path | None:
    """The folder with all three clean CSV files of a poisoner.

    OpenBackdoor's configs say ``<target>/<setting>/<poisoner>``, but it saves under ``<target>/<poisoner>``;
    both are tried. A folder with only some of the files is passed over: mixed with another source, a row
    could stand in two splits.
    """
    if basepath is None:
        return None
    stated = root / basepath
    tried = [stated]
    if stated.parent.name in SETTINGS:
        tried.append(stated.parent.parent / stated.name)
    for folder in tried:
        missing = [f"{split}-clean.csv" for split in SPLITS if not (folder / f"{split}-clean.csv").is_file()]
        if not missing:
            return folder
        if len(missing) < len(SPLITS):
            logger.warning("Passed over the clean rows in %s, which lack %s.", folder, ", ".join(missing))
    logger.info("No clean rows in %s: read the data set itself.", " or ".join(map(str, tried)))
    return None


def _clean_source(folder: Path, config: DatasetConfig) -> Source:
    logger.info("Read the clean rows in %s.", folder)
    tables = {split: read_poison_table(folder / f"{split}-clean.csv") for split in SPLITS}
    layout = LAYOUTS.get(config.name.lower())
    names = config.label_names or (layout.label_names if layout is not None else None)
    num_classes = config.num_classes
    if layout is not None:
        _check_class_keys(config, layout.num_classes)
        num_classes = layout.num_classes
    elif names is not None:
        num_classes = len(names)
    if num_classes is None:
        labels = (plain_label(record.label) for table in tables.values() for record in table.records)
        num_classes = max((int(label) for label in labels if label.isdecimal()), default=1) + 1
    return Source(tables, ClassMap.numbered(num_classes, names), aligned=True)


def _table_source(tables: dict[str, Table], config: DatasetConfig) -> Source:
    names = next((table.names for table in tables.values() if table.names is not None), None)
    if names is None:
        return Source(tables, may_draw_test=True)
    _check_class_keys(config, len(names))
    return Source(tables, ClassMap.declared(names, config.label_names), may_draw_test=True)


def _check_class_keys(config: DatasetConfig, num_classes: int) -> None:
    given = config.num_classes or (len(config.label_names) if config.label_names is not None else num_classes)
    if given != num_classes:
        raise ConfigError(
            f"The data set '{config.name}' has {num_classes} classes, but num_classes or label_names say "
            f"{given}: drop the key."
        )


def _file_tables(config: DatasetConfig, root: Path) -> dict[str, Table]:
    base = root / Path(config.path).expanduser() if config.path is not None else root
    if config.path is not None and not base.exists():
        raise DataError(f"The data in path {base} was expected, but nothing is there: check the key path.")
    named = {split: config.file(split) for split in SPLITS}
    paths: dict[str, Path] = {}
    saved = saved_splits(base) if config.path is not None else []
    if saved:
        paths = {split: base for split in saved if named[split] is None}
        base = root
    elif base.is_file():
        paths = {"test" if config.test else "train": base}
        base = root
    elif config.path is not None:
        paths = _files_in(base, named)
    paths.update({split: base / file for split, file in named.items() if file is not None})
    if not paths:
        raise DataError(
            f"The folder {base} should hold train, dev and test files of a type {', '.join(SUFFIXES)}, but "
            "has none: name them with train_file and test_file."
        )
    columns = config.text_column, config.label_column
    return {split: read_table(path, *columns, split=split) for split, path in paths.items()}


def _files_in(folder: Path, named: dict[str, str | None]) -> dict[str, Path]:
    paths = {}
    for split, stems in SPLIT_NAMES.items():
        if named[split] is not None:
            continue
        found = [
            path for stem in stems for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()
        ]
        if len(found) > 1:
            raise DataError(
                f"The folder {folder} should hold one {split} file, but has "
                f"{', '.join(path.name for path in found)}: name one with {split}_file."
            )
        if found:
            paths[split] = found[0]
    return paths


def _demo_source(name: str, config: DatasetConfig) -> Source:
    names = CLASSES[name]
    _check_class_keys(config, len(names))
    tables = {
        split: Table(
            f"data set '{name}', {split}",
            [Record(i, row.text, row.label, row.poison_label) for i, row in enumerate(rows, start=1)],
        )
        for split, rows in demo_rows(name).items()
    }
    return Source(tables, ClassMap.numbered(len(names), config.label_names or names))
