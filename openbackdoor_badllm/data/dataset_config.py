"""The keys of a data set, with their meaning and their bounds.

The first five are OpenBackdoor's own; a JSON that names only those runs on either host. The others
are ours. A key that is in neither group is refused, with the nearest one named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from openbackdoor_badllm.section import Count, Section, Text, Whole, read

if TYPE_CHECKING:
    from typing import Self

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {"train": ("train",), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
"""What a split is called in files and on the hub."""
DATA_ROOT_VARIABLE = "OPENBACKDOOR_DATA"

Part = Annotated[float, Field(ge=0, lt=1)]
PathText = Annotated[str, Field(pattern=r"^[^\x00]+$")]


class DatasetConfig(Section):
    """Sections ``target_dataset`` and ``poison_dataset``, and the rows of an audit: which rows are read, and how."""

    place: ClassVar[str] = "dataset"

    name: Text = "sst-2"
    """Which data set: one of OpenBackdoor's names, ``custom`` (with ``path`` or ``train_file``),
    ``demo`` or ``demo-news`` (made on the spot), or a hub data set (a name with a ``/``, or ``hf:NAME``)."""

    test: bool = False
    """Only the test split is wanted: train and dev come back as empty lists."""

    dev_rate: Part = 0.1
    """Share of train drawn as dev, stratified by label, where there is no dev file; 0 leaves dev empty."""

    load: bool = False
    """Prefer the clean CSV files that a poisoner wrote, so that their row order fits the poisoned ones."""

    clean_data_basepath: PathText | None = None
    """Folder of those clean CSV files, under ``data_root``:
    ``poison_data/<name>/<target>[/<setting>]/<poisoner>``."""

    data_root: Path | PathText | None = None
    """Folder that holds ``datasets/`` and ``poison_data/``. Else the environment variable
    ``OPENBACKDOOR_DATA``, else the working directory."""

    path: Path | PathText | None = None
    """A file (CSV, TSV, JSON, JSONL, Parquet), a folder that ``datasets`` saved (``save_to_disk``), or a folder with
    ``train.*``, ``dev.*`` and ``test.*``; relative to ``data_root``. From a single file, test and dev are drawn."""

    train_file: PathText | None = None
    """Training file, relative to ``path`` if that is a folder, else to ``data_root``. For a hub data set: the
    name of its training split."""

    dev_file: PathText | None = None
    """The same for dev."""

    test_file: PathText | None = None
    """The same for test."""

    text_column: Text | None = None
    """Column of the texts; else the first there is of text, sentence, content, review, comment, tweet."""

    label_column: Text | None = None
    """Column of the labels; else the first there is of label, labels, class, category, target."""

    label_names: Annotated[tuple[Text, ...], Field(min_length=2)] | None = None
    """Class names in the order of their indices. Label values may then be these names or their indices."""

    num_classes: Annotated[Whole, Field(ge=2)] | None = None
    """Number of classes. Integer labels must then lie in 0 .. num_classes - 1 and are taken as they are."""

    test_rate: Part = 0.2
    """Share of train drawn as test, stratified, where a custom or hub data set has none. Never used for
    OpenBackdoor's own sets: their test files are what papers report on."""

    hub_config: Text | None = None
    """Configuration of a hub data set, such as ``sst2`` of ``nyu-mll/glue``."""

    hub_revision: Text | None = None
    """Branch, tag or commit of a hub data set. Name a commit to make a run repeatable."""

    drop_empty: bool = False
    """Leave rows without text out of every split, instead of refusing a training set that has some. Rows of a
    poisoner's clean CSV are never dropped: poisoned rows are matched to them by their index."""

    max_train: Count | None = None
    """Keep at most this many training rows: stratified by label, file order kept, drawn with ``seed``. A
    larger number keeps the rows of a smaller one in each class, rounding aside."""

    max_dev: Count | None = None
    """The same for dev."""

    max_test: Count | None = None
    """The same for test."""

    seed: Whole = 0
    """Seed of the ``max_*`` draws and of the demo texts. The global generator is never touched."""

    split_seed: Whole = 0
    """Seed of the dev and test splits drawn from train. Apart from ``seed``, so that runs of several seeds
    are judged on the same rows."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.label_names
        if names is not None and len(set(names)) < len(names):
            raise ValueError(f"'{{here}}.label_names' names a class twice: {', '.join(names)}.")
        if names is not None and self.num_classes not in (None, len(names)):
            raise ValueError(
                f"'{{here}}.num_classes' and 'label_names' disagree, {self.num_classes} against {len(names)} names: "
                "drop num_classes or complete the names."
            )
        if self.name.lower() == "custom" and not self.has_files:
            raise ValueError(
                "The data set 'custom' expects the key path (a file or folder) or train_file, but has "
                "neither: add one of them."
            )
        if self.is_hub and self.path is not None:
            raise ValueError(
                f"The data set '{self.name}' is a hub name, but path is set too: keep one of them "
                "(name 'custom' for local files)."
            )
        return self

    @classmethod
    def from_keys(cls, keys: Mapping[str, Any]) -> DatasetConfig:
        """Builds a config from JSON keys; a null means the key's default.

        Raises:
            ConfigError: a key is unknown (names the nearest), or a value is wrong.
        """
        return read(cls, {key: value for key, value in keys.items() if value is not None}, cls.place)

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
