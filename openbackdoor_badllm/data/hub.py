"""Data sets of a hub, through the optional package ``datasets``. No code from the hub is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openbackdoor_badllm.data.dataset_config import SPLIT_NAMES, DatasetConfig
from openbackdoor_badllm.data.structured import table_from_dataset
from openbackdoor_badllm.data.table_files import Table
from openbackdoor_badllm.errors import DataError, MissingExtraError


def read_hub(config: DatasetConfig, root: Path) -> dict[str, Table]:
    """The splits of a hub data set, with the class names that it declares.

    Args:
        config: ``name`` with a ``/`` or ``hf:`` before it; ``<split>_file`` names a split.
        root: the data root, to notice a local file meant as ``name``.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        DataError: the hub cannot be reached, has no such data set, or lacks a split or column.
    """
    name = config.name[3:] if config.name.lower().startswith("hf:") else config.name
    splits = _download(name, config, root)
    tables: dict[str, Table] = {}
    for split, usual in SPLIT_NAMES.items():
        wanted = config.file(split)
        chosen = wanted if wanted is not None else next((key for key in usual if key in splits), None)
        if chosen is None:
            continue
        if chosen not in splits:
            raise DataError(
                f"The hub data set '{name}' should have a split '{chosen}', but has "
                f"{', '.join(splits) or 'none'}: name one of them with {split}_file."
            )
        where = f"hub data set '{name}', split '{chosen}'"
        tables[split] = table_from_dataset(splits[chosen], config.text_column, config.label_column, where)
    return tables


def _download(name: str, config: DatasetConfig, root: Path) -> Mapping[str, Any]:
    try:
        import datasets

        # A working directory with OpenBackdoor's folder datasets/ imports as an empty namespace package.
        load, errors = datasets.load_dataset, datasets.exceptions.DatasetsError
    except (ImportError, AttributeError) as error:
        raise MissingExtraError("datasets", "hub", f"The hub data set '{name}'") from error
    try:
        loaded: Mapping[str, Any] = load(name, config.hub_config, revision=config.hub_revision)
    except (OSError, ValueError, RuntimeError, errors) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        local = " (that is a local path: use the key path for it)" if (root / name).exists() else ""
        raise DataError(
            f"The hub data set '{name}' was expected from the hub or its local cache, but cannot be had "
            f"({reason}): check the name, hub_config and the network, or download it and set path{local}."
        ) from error
    return loaded
