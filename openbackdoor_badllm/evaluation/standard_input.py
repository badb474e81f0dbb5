"""Rows from standard input: kept in the run's folder, so that a later repair finds them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.evaluation.folder import write_whole

STANDARD_INPUT = "-"
_STEM = "standard-input"


class Piped(NamedTuple):
    """What came by standard input, and the file name whose suffix says how it reads."""

    content: bytes
    name: str

    @classmethod
    def of(cls, content: bytes) -> Piped:
        """Tells JSON Lines, TSV and CSV apart by the first line.

        Raises:
            DataError: nothing came.
        """
        first = content.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
        if not first:
            raise DataError("Standard input is empty: pipe labelled rows into it (CSV, TSV or JSON Lines).")
        if first[:1] in (b"{", b"["):
            return cls(content, f"{_STEM}.jsonl")
        return cls(content, f"{_STEM}.tsv" if b"\t" in first and b"," not in first else f"{_STEM}.csv")

    @property
    def digest(self) -> str:
        """Names the content."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    def keep(self, folder: Path) -> None:
        """Writes it into a run's folder."""
        write_whole(folder / self.name, self.content)


def located(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The config with ``-`` in the place of a file replaced by the copy that the run's folder keeps."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    kept = next(iter(sorted(folder.glob(f"{_STEM}.*"))), None)
    if kept is not None:
        rows = changed["rows"]
        rows["train_file"] = str(kept) if rows.get("train_file") == STANDARD_INPUT else rows.get("train_file")
        if "more_files" in changed:
            changed["more_files"] = [str(kept) if file == STANDARD_INPUT else file for file in changed["more_files"]]
    return changed
