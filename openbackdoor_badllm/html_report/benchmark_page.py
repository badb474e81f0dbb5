"""What the page of a benchmark says, as plain values; the template only lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.html_report.benchmark_source import BenchmarkFiles, CellState, as_line
from openbackdoor_badllm.html_report.benchmark_tables import (
    Grid,
    average_tables,
    comparison_table,
    found_table,
    group_of,
    pair_of,
    pair_tables,
    paper_table,
    points,
    where,
)
from openbackdoor_badllm.html_report.pictures.canvas import Picture, label
from openbackdoor_badllm.html_report.pictures.cost import cost_pictures
from openbackdoor_badllm.html_report.pictures.pairs import pairs_pictures
from openbackdoor_badllm.html_report.pictures.records import NONE, Record, named, value
from openbackdoor_badllm.html_report.pictures.robustness import robustness_pictures
from openbackdoor_badllm.html_report.verdict_text import Verdict, share
from openbackdoor_badllm.openbackdoor.host import UPSTREAM


@dataclass
class BenchmarkPage:
    """A benchmark, ready to be laid out. Texts are as they were written; the template makes them harmless."""

    title: str
    about: str
    verdict: Verdict
    failed: list[CellState]
    tables: list[Grid]
    details: list[Grid]
    pictures: list[Picture]
    cells: list[CellState]
    grid: str
    versions: list[str]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """The headings that the page has: id and name."""
        wanted = (
            ("verdict", "Verdict", True),
            ("failed", "Failed cells", self.failed),
            ("averages", "Averages", self.tables),
            ("pictures", "Pictures", self.pictures),
            ("details", "Pair by pair", self.details),
            ("cells", "Cells", self.cells),
            ("again", "Make it again", True),
        )
        return [(name, heading) for name, heading, there in wanted if there]


def benchmark_page(files: BenchmarkFiles) -> BenchmarkPage:
    """Everything that the page says of a benchmark."""
    records = [record for record in files.records if record.get("cells")]
    failed = _failed(files)
    return BenchmarkPage(
        title=f"Benchmark {label(files.name)}",
        about=_about(files, records),
        verdict=_verdict(files, failed),
        failed=failed,
        tables=[*average_tables(files.averages), *comparison_table(files.comparisons)],
        details=[*pair_tables(records), *paper_table(records), *found_table(records)],
        pictures=[*pairs_pictures(records), *robustness_pictures(records), *cost_pictures(files.averages)],
        cells=files.cells,
        grid=files.grid,
        versions=[as_line(versions) for versions in files.versions],
    )


def _failed(files: BenchmarkFiles) -> list[CellState]:
    """Cells that failed, by the plan and by the tables; each once."""
    failed = {cell.folder: cell for cell in files.cells if cell.state == "failed"}
    for record in files.records:
        for item in record.get("failures") or []:
            folder = str(item.get("cell"))
            name = f"{pair_of(record)}, {named(str(record['defender']))}, seed {item.get('seed')}"
            failed.setdefault(folder, CellState(name, folder, "failed", str(item.get("sentence"))))
    return list(failed.values())


def _about(files: BenchmarkFiles, records: Sequence[Record]) -> str:
    def listed(key: str) -> str:
        return ", ".join(dict.fromkeys(label(record[key]) for record in records))

    seeds = sorted({seed for record in records for seed in record.get("seeds") or []})
    if not records:
        return "No cell came to its end."
    commit = str(files.host.get("revision") or "")
    host = f"; host: the real OpenBackdoor, commit {label(commit)}" if files.host.get("name") == UPSTREAM else ""
    return (
        f"Data sets {listed('dataset')}; attacks {listed('attack')}; victims {listed('victim')}; profile "
        f"{listed('profile')}; seeds {', '.join(map(str, seeds))}{host}"
    )


def _verdict(files: BenchmarkFiles, failed: Sequence[CellState]) -> Verdict:
    sentences = [_sentence(group, files.averages) for group in files.averages if group.get("ours")]
    done = sum(cell.state == "done" for cell in files.cells)
    missing = sum(cell.state == "missing" for cell in files.cells)
    remarks = sentences[1:]
    for comparison in files.comparisons:
        remarks.append(_compared(comparison))
    if files.cells:
        counts = [f"{done} of {len(files.cells)} cells are finished"]
        counts += [f"{len(failed)} failed"] if failed else []
        counts += [f"{missing} not run yet"] if missing else []
        remarks.append(", ".join(counts) + ".")
    lead = sentences[0] if sentences else "No average of our defence can be given yet."
    return Verdict(
        "other", f"{label(files.ours)}: what is left of the attacks" if files.ours else "Results", lead, remarks
    )


def _sentence(ours: Record, averages: Sequence[Record]) -> str:
    """Ours in words, beside no defence and the best other."""
    group = [item for item in averages if group_of(item) == group_of(ours)]
    asr, cacc = value(ours, "ASR"), value(ours, "CACC")
    plain = next((item for item in group if item["defender"] == NONE), None)
    others = [item for item in group if not item.get("reference") and not item.get("ours")]
    others = [item for item in others if value(item, "ASR").mean is not None]
    best = min(others, key=lambda item: value(item, "ASR").mean or 0.0, default=None)
    told = f"{where(ours)}: {label(ours['defender'])} leaves a mean ASR of {share(asr.mean)}"
    told += f" over {_counted(ours.get('pairs', '?'), 'pair')}"
    if plain is not None:
        told += f" ({share(value(plain, 'ASR').mean)} without a defence)"
    told += f", at a clean accuracy of {share(cacc.mean)}"
    if plain is not None:
        told += f" ({share(value(plain, 'CACC').mean)} without)"
    if best is not None:
        told += (
            f"; the best other is {label(best['defender'])} with an ASR of {share(value(best, 'ASR').mean)} at "
            f"{share(value(best, 'CACC').mean)}"
        )
    return told + ("." if ours.get("complete", True) else "; some pairs are missing.")


def _compared(item: Mapping[str, Any]) -> str:
    interval, p_value = item.get("interval") or [None, None], item.get("p")
    known = None not in interval
    between = f" (interval {points(interval[0])} to {points(interval[1])})" if known else ""
    p_text = f", p = {p_value:.3g}" if isinstance(p_value, int | float) else ""
    test = f" ({item.get('test')})" if known else ""
    return (
        f"{where(item)}, {item.get('figure')}: {label(item.get('ours'))} minus {label(item.get('other'))} is "
        f"{points(item.get('mean_difference'))} on average{between} over "
        f"{_counted(item.get('n'), 'difference')} of pair and seed{p_text}{test}."
    )


def _counted(number: object, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
