"""What an audit hands back in Python: the answers, and the ways to tell them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console

from openbackdoor_badllm.auditing.inputs import Change, GivenRows
from openbackdoor_badllm.auditing.model_summary import print_model_summary
from openbackdoor_badllm.auditing.notebook import as_notebook
from openbackdoor_badllm.auditing.sarif import as_sarif
from openbackdoor_badllm.errors import ConfigError, DataError, MissingExtraError
from openbackdoor_badllm.evaluation.console import ConsoleProgress
from openbackdoor_badllm.evaluation.finding_files import FlaggedRecord, read_records, write_findings
from openbackdoor_badllm.evaluation.folder import CONFIG, FLAGGED, RESULTS, SEARCH, RunFolder, as_json
from openbackdoor_badllm.evaluation.summary import print_summary
from openbackdoor_badllm.html_report.writer import write_report

if TYPE_CHECKING:
    from openbackdoor_badllm.auditing.repairing import CleanModel, Repairing

COLUMNS = ("row", "text", "label", "probability", "trigger", "suggested_label", "reason")


@dataclass(repr=False)
class AuditResult:
    """The answers of an audit. It can be pickled; no weights are in the pickle.

    Attributes:
        config: of the audit, as resolved.
        results: everything that was found, as JSON; docs/audit.md has its schema.
        search: every candidate that reached the last round of its race, and what became of it.
        flagged: the flagged rows.
    """

    config: dict[str, Any]
    results: dict[str, Any]
    search: list[dict[str, Any]]
    flagged: list[FlaggedRecord]
    _rows: GivenRows | None = None
    _repairing: Repairing | None = None
    _clean: CleanModel | None = field(default=None, init=False)

    @classmethod
    def open(cls, folder: Path) -> AuditResult:
        """The result that ``badllmtg audit`` left in a folder.

        Raises:
            ConfigError: the folder holds no finished audit of this version.
        """
        try:
            config, results, search = (
                json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, RESULTS, SEARCH)
            )
            if "verdict" not in results:
                raise KeyError("verdict")
            return cls(config, results, search, read_records(folder / FLAGGED))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"The folder '{folder}' holds no finished audit of this version: run 'badllmtg audit' with --force."
            ) from error

    @property
    def verdict(self) -> str:
        """``backdoor``, ``shortcut`` or ``nothing``."""
        return str(self.results["verdict"])

    @property
    def probability(self) -> float | None:
        """Probability that there is a backdoor, where it was as likely as not beforehand; None of a model alone."""
        told = self.results.get("probability")
        return None if told is None else float(told)

    @property
    def triggers(self) -> list[str]:
        """What was inserted into texts, strongest first; empty where a style is the trigger, or nothing was found."""
        return [str(item["text"]) for part in self._findings for item in part["triggers"]]

    @property
    def styles(self) -> list[list[str]]:
        """The marks of each style that is a trigger."""
        return [list(part["style"]["marks"]) for part in self._findings if part["style"] is not None]

    @property
    def target_label(self) -> str | None:
        """Name of the label that the triggers lead to; None where nothing was found."""
        if not self._findings:
            return None
        label, names = self._findings[0]["target_label"], self.results["label_names"]
        return str(names[label]) if label < len(names) else str(label)

    @property
    def notes(self) -> list[str]:
        """What was not looked at, and why."""
        return list(self.results["notes"])

    @property
    def complete(self) -> bool:
        """Whether all labels were searched; false where a time limit ended the search."""
        return bool(self.results["complete"])

    @property
    def flagged_rows(self) -> Any:
        """The rows that carry a trigger, as a pandas DataFrame; ``flagged`` holds the same without pandas.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("pandas", "pandas", "A table of the flagged rows") from error
        return pandas.DataFrame([asdict(item) for item in self.flagged], columns=list(COLUMNS))

    def clean_dataset(self) -> Any:
        """The rows in the type in which they came, without the attack.

        A row that is more likely poisoned than not loses the trigger and gets the label that its text says; where no
        label was looked for (another repair than ``relabel``), it is left out. All others stay, in their order.

        Raises:
            ConfigError: the result was opened from a folder: its rows are in ``repaired.jsonl``; or there are none.
        """
        self._want_rows()
        if self._rows is None:
            raise ConfigError("This result was opened from a folder: the repaired rows are in its repaired.jsonl.")
        values = self._rows.values_by_name(self.results["label_index"], self.results["label_names"])
        changes: dict[int, Change] = {}
        for item in self.flagged:
            if item.suspect:
                label = item.suggested_label
                known = label is not None and label in values
                changes[item.row] = (item.text_without_trigger, values[str(label)]) if known else None
        return self._rows.changed(changes)

    def without_suspects(self) -> Any:
        """The rows in the type in which they came, without those that are more likely poisoned than not.

        Raises:
            ConfigError: the rows are not at hand.
        """
        self._want_rows()
        if self._rows is None:
            raise ConfigError("This result was opened from a folder: its rows are in the files that were audited.")
        return self._rows.changed({item.row: None for item in self.flagged if item.suspect})

    def repair(self, *, from_scratch: bool = False, progress: bool = False) -> CleanModel:
        """The clean model. It is trained at the first call and kept; a result that was pickled has none.

        Args:
            from_scratch: a fresh model on the repaired rows, instead of the audited one trained a little further.
            progress: tell it on stderr.

        Raises:
            ConfigError: no training rows were audited.
            DataError: nothing was found that could be repaired.
            VictimError: the audited model cannot be had again.
        """
        self._want_rows()
        if self._repairing is None:
            raise DataError("Nothing was found that could be repaired, so there is no clean model to make.")
        if self._clean is None or from_scratch:
            with ConsoleProgress(Console(stderr=True), quiet=not progress) as listener:
                self._clean = self._repairing.make(self.results, from_scratch=from_scratch, progress=listener)
            self.results = dict(self._clean.results)
        return self._clean

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values: ``results`` and the flagged rows."""
        return {**self.results, "flagged": [item.to_dict() for item in self.flagged]}

    def to_json(self) -> str:
        """The same as JSON."""
        return as_json(self.to_dict())

    def to_sarif(self) -> str:
        """The flagged rows as SARIF 2.1.0, which code scanning services read."""
        return as_json(as_sarif(self.results, self.flagged))

    def to_html(self) -> str:
        """One page with everything; needs nothing from elsewhere and runs nothing.

        Raises:
            ConfigError: no training rows were audited, which is all that the page is about.
        """
        self._want_rows()
        with TemporaryDirectory(prefix="badllmtg-") as name:
            folder = RunFolder(Path(name) / "audit", self.config)
            write_findings(folder, self.flagged, self.search)
            folder.write_json(RESULTS, self.results)
            return write_report(folder.path, alone=True).page.read_text(encoding="utf-8")

    def summary(self) -> str:
        """The text that the command prints."""
        stream = io.StringIO()
        tell = print_model_summary if self.results.get("basis") == "model" else print_summary
        tell(self.results, None, Console(file=stream, width=120, no_color=True, force_jupyter=False))
        return stream.getvalue().strip("\n")

    def __repr__(self) -> str:
        told = ", ".join(repr(text[:40]) for text in self.triggers[:5])
        found = f", target label {self.target_label!r}, triggers [{told}], {len(self.flagged)} rows flagged"
        return f"<AuditResult: {self.verdict}{found if self._findings else ''}>"

    def _repr_html_(self) -> str:
        return as_notebook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clean": None}

    def _want_rows(self) -> None:
        if self.results.get("basis") == "model":
            raise ConfigError(
                "No training rows were audited, only a model: audit(texts, labels, model=...) tells the rows, repairs "
                "them and has a page."
            )

    @property
    def _findings(self) -> Sequence[Mapping[str, Any]]:
        report = self.results["report"]
        return [report, *report["further"]] if self.verdict == "backdoor" else []
