"""OpenBackdoor's data sets by name: where each lies under ``datasets/`` and how its files read.

Unlike OpenBackdoor, which shuffles every split with the global generator at each load, the order of the files
is kept: only so do poisoned rows written by one run fit the clean rows of the next.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openbackdoor_badllm.data.dataset_config import SPLITS
from openbackdoor_badllm.data.labels import ClassMap, plain_label
from openbackdoor_badllm.data.table_files import (
    Record,
    Table,
    check_width,
    read_text_file,
    split_csv,
    split_tsv,
)
from openbackdoor_badllm.errors import ConfigError, DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Where a named data set lies and how it is written.

    Attributes:
        folder: under ``datasets/``.
        suffix: of each split's file.
        read: reads one split's file.
        num_classes: number of classes.
        label_names: class names, where they are known for sure.
        first_label: the smallest label in the files.
        script: OpenBackdoor's download script for it.
    """

    folder: str
    suffix: str
    read: Callable[[Path], Table]
    num_classes: int
    script: str
    label_names: tuple[str, ...] | None = None
    first_label: int = 0

    def classes(self, label_names: tuple[str, ...] | None = None) -> ClassMap:
        """The fixed classes, under the user's names if given."""
        return ClassMap.numbered(self.num_classes, label_names or self.label_names, self.first_label)


def read_named(name: str, root: Path) -> dict[str, Table]:
    """The splits of a named data set that are there.

    Args:
        name: key of :data:`LAYOUTS`.
        root: folder that holds ``datasets/``, or that folder itself.

    Raises:
        DataError: there is no such folder or no file in it (names the paths tried), or a file is malformed.
    """
    layout = LAYOUTS[name]
    tried = [root / "datasets" / layout.folder, root / layout.folder]
    for folder in tried:
        paths = {split: folder / f"{split}{layout.suffix}" for split in SPLITS}
        found = {split: path for split, path in paths.items() if path.is_file()}
        if found:
            return {split: layout.read(path) for split, path in found.items()}
    raise DataError(
        f"The data set '{name}' should be {', '.join(f'{split}{layout.suffix}' for split in SPLITS)} in "
        f"{' or '.join(map(str, tried))}, but neither holds one of them: download it with OpenBackdoor's "
        f"datasets/{layout.script}, or point data_root (or OPENBACKDOOR_DATA) to the folder that holds "
        "datasets/."
    )


def layout_of(name: str) -> Layout:
    """The layout of a name.

    Raises:
        ConfigError: the name is unknown (names the nearest), or has no labels to classify.
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    if name in UNLABELLED:
        raise ConfigError(
            f"The data set '{name}' is plain text without classes, but a data set for classification was "
            f"expected: choose one of {', '.join(LAYOUTS)}."
        )
    known = [*LAYOUTS, "demo", "demo-news", "custom"]
    near = difflib.get_close_matches(name, known, n=1)
    raise ConfigError(
        f"The data set '{name}' is unknown: "
        + (
            f"did you mean '{near[0]}'?"
            if near
            else f"the known ones are {', '.join(known)}, and hub names with a '/'."
        )
    )


def _read_tsv(path: Path) -> Table:
    """A header row, then text and label: by name where they are called so, else the first two columns."""
    where = str(path)
    lines = split_tsv(read_text_file(path), where)
    header = [name.strip() for name in lines[0].fields] if lines else []
    named = "sentence" in header and "label" in header
    text_at, label_at = (header.index("sentence"), header.index("label")) if named else (0, 1)
    if len(header) < 2 or (not named and plain_label(header[1]).lstrip("-").isdecimal()):
        raise DataError(
            f"The file {where} should start with the header sentence<TAB>label, but starts with "
            f"{chr(9).join(header)[:80]!r}: add the header."
        )
    records = []
    for line in lines[1:]:
        check_width(line, len(header), where)
        records.append(Record(line.number, line.fields[text_at].strip(), line.fields[label_at]))
    return Table(where, records)


def _read_topic_csv(width: int) -> Callable[[Path], Table]:
    """No header; the label first, then ``width - 1`` parts of the text. Backslashes stand for blanks."""

    def read(path: Path) -> Table:
        where = str(path)
        records = []
        for line in split_csv(read_text_file(path), where):
            check_width(line, width, where)
            parts = (part.replace("\\n", " ") if width > 3 else part for part in line.fields[1:])
            text = " ".join(parts).replace("\\", " ").strip()
            records.append(Record(line.number, text, line.fields[0]))
        return Table(where, records)

    return read


def _read_lines(path: Path) -> Table:
    """One text a line in ``<split>.txt``, its label on the same line of ``<split>_labels.txt``."""
    where = str(path)
    texts = _lines_of(path)
    labels = _lines_of(path.with_name(f"{path.stem}_labels.txt"))
    if len(texts) != len(labels):
        raise DataError(
            f"{where} should have as many lines as {path.stem}_labels.txt, but has {len(texts)} against "
            f"{len(labels)}: download both again."
        )
    rows = enumerate(zip(texts, labels, strict=True), start=1)
    return Table(where, [Record(number, text.strip(), label) for number, (text, label) in rows])


def _read_sampled_lines(path: Path) -> Table:
    """The same; of test only the rows whose 0-based numbers ``sampled_test_idx.txt`` lists, if present."""
    table = _read_lines(path)
    listed = path.with_name("sampled_test_idx.txt")
    if path.stem != "test" or not listed.is_file():
        return table
    numbers = read_text_file(listed).split()
    if not all(number.isdecimal() for number in numbers):
        raise DataError(
            f"The file {listed} should hold row numbers, but holds other text: download it again."
        )
    wanted = {int(number) + 1 for number in numbers}
    kept = [record for record in table.records if record.number in wanted]
    logger.info(
        "Kept %d of %d test rows of %s, as %s lists.", len(kept), len(table.records), path, listed.name
    )
    return Table(table.where, kept)


def _lines_of(path: Path) -> list[str]:
    lines = read_text_file(path).split("\n")
    if not lines[-1].strip():
        lines.pop()
    return lines


_TOXIC = "download_toxic.sh"
_SPAM = "download_spam.sh"
_SENTIMENT = "download_sentiment_analysis.sh"
_TOPICS = "download_text_classification.sh"
_POLARITY = ("negative", "positive")

LAYOUTS: dict[str, Layout] = {
    "sst-2": Layout("SentimentAnalysis/SST-2", ".tsv", _read_tsv, 2, _SENTIMENT, _POLARITY),
    "imdb": Layout("SentimentAnalysis/imdb", ".txt", _read_lines, 2, _SENTIMENT, _POLARITY),
    "amazon": Layout("SentimentAnalysis/amazon", ".txt", _read_sampled_lines, 2, _SENTIMENT, _POLARITY),
    "agnews": Layout(
        "TextClassification/agnews",
        ".csv",
        _read_topic_csv(3),
        4,
        _TOPICS,
        ("World", "Sports", "Business", "Sci/Tech"),
        first_label=1,
    ),
    "yahoo": Layout("TextClassification/yahoo", ".csv", _read_topic_csv(4), 10, _TOPICS, first_label=1),
    "dbpedia": Layout("TextClassification/dbpedia", ".txt", _read_lines, 14, _TOPICS),
    "hsol": Layout("Toxic/hsol", ".tsv", _read_tsv, 2, _TOXIC),
    "offenseval": Layout("Toxic/offenseval", ".tsv", _read_tsv, 2, _TOXIC),
    "twitter": Layout("Toxic/twitter", ".tsv", _read_tsv, 2, _TOXIC),
    "jigsaw": Layout("Toxic/jigsaw", ".tsv", _read_tsv, 2, _TOXIC),
    "enron": Layout("Spam/enron", ".tsv", _read_tsv, 2, _SPAM),
    "lingspam": Layout("Spam/lingspam", ".tsv", _read_tsv, 2, _SPAM),
}
"""OpenBackdoor's labelled data sets. Its own reader of amazon is switched off; the layout stands there."""

UNLABELLED = ("wikitext", "webtext", "cagm")
"""Names that OpenBackdoor knows too, all of whose rows have the label 0."""
