"""What the page of a benchmark says, as plain values; the template only lays it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.report.benchmark_source import BenchmarkFiles, CellState, as_line
from openbackdoor_badllm.report.pictures.canvas import Picture
from openbackdoor_badllm.report.pictures.cost import cost_pictures
from openbackdoor_badllm.report.pictures.pairs import pairs_pictures
from openbackdoor_badllm.report.pictures.records import NONE, Record, Value, defenders, named, value
from openbackdoor_badllm.report.pictures.robustness import robustness_pictures
from openbackdoor_badllm.report.run_page import Verdict, share
from openbackdoor_badllm.report.shown import short

LOWER_IS_BETTER = frozenset({"ASR", "excess ASR", "FRR", "FAR", "seconds", "memory", "LLM calls", "LLM tokens", "LLM money"})
AMOUNTS = frozenset({"seconds", "memory", "LLM calls", "LLM tokens", "LLM money"})
QUALITY = ("CACC", "ASR", "excess ASR", "R-Acc")
UNITS = {"memory": "memory (MiB)", "seconds": "seconds"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    rank: str = ""  # "best" or "second" among the defenders compared
    link: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: first column heads the rows."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell], bool]]  # head, cells, whether it is ours


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
        title=f"Benchmark {files.name}",
        about=_about(files, records),
        verdict=_verdict(files, failed),
        failed=failed,
        tables=[*_average_tables(files.averages), *_comparison_table(files.comparisons)],
        details=[*_pair_tables(records), *_paper_table(records), *_found_table(records)],
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
            name = f"{record.get('dataset')} {record.get('attack')}, {record.get('defender')}, seed {item.get('seed')}"
            failed.setdefault(folder, CellState(name, folder, "failed", str(item.get("sentence"))))
    return list(failed.values())


def _about(files: BenchmarkFiles, records: Sequence[Record]) -> str:
    def listed(key: str) -> str:
        return ", ".join(dict.fromkeys(str(record[key]) for record in records))

    seeds = sorted({seed for record in records for seed in record.get("seeds") or []})
    if not records:
        return "No cell came to its end."
    return (
        f"Data sets {listed('dataset')}; attacks {listed('attack')}; victims {listed('victim')}; profile "
        f"{listed('profile')}; seeds {', '.join(map(str, seeds))}"
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
        counts += [f"{missing} have not been run yet"] if missing else []
        remarks.append(", ".join(counts) + ".")
    lead = sentences[0] if sentences else "No average of our defence can be given yet."
    return Verdict("other", f"{files.ours}: what is left of the attacks" if files.ours else "Results", lead, remarks)


def _sentence(ours: Record, averages: Sequence[Record]) -> str:
    """Ours in words, beside no defence and the best other."""
    group = [item for item in averages if _group(item) == _group(ours)]
    asr, cacc = value(ours, "ASR"), value(ours, "CACC")
    plain = next((item for item in group if item["defender"] == NONE), None)
    others = [item for item in group if not item.get("reference") and not item.get("ours")]
    others = [item for item in others if value(item, "ASR").mean is not None]
    best = min(others, key=lambda item: value(item, "ASR").mean or 0.0, default=None)
    told = f"{_where(ours)}: {ours['defender']} leaves a mean ASR of {share(asr.mean)} over {ours.get('pairs', '?')} pairs"
    if plain is not None:
        told += f" ({share(value(plain, 'ASR').mean)} without a defence)"
    told += f", at a clean accuracy of {share(cacc.mean)}"
    if plain is not None:
        told += f" ({share(value(plain, 'CACC').mean)} without)"
    if best is not None:
        told += (
            f"; the best other is {best['defender']} with an ASR of {share(value(best, 'ASR').mean)} at "
            f"{share(value(best, 'CACC').mean)}"
        )
    return told + ("." if ours.get("complete", True) else "; some pairs are missing.")


def _compared(item: Mapping[str, Any]) -> str:
    interval, p_value = item.get("interval") or [None, None], item.get("p")
    known = None not in interval
    between = f" (interval {share(interval[0])} to {share(interval[1])})" if known else ""
    p_text = f", p = {p_value:.3g}" if isinstance(p_value, int | float) else ""
    return (
        f"{_where(item)}, {item.get('figure')}: {item.get('ours')} minus {item.get('other')} is "
        f"{share(item.get('mean_difference'))} on average{between} over {item.get('n')} pairs and seeds{p_text} "
        f"({item.get('test')})."
    )


def _group(item: Record) -> tuple[str, ...]:
    return tuple(str(item.get(key)) for key in ("rate", "setting", "victim", "profile"))


def _where(item: Record) -> str:
    return f"{100 * float(item['rate']):g} % poisoned ({item['setting']}), {item['victim']}"


def _groups(items: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    return groups


def _average_tables(averages: Sequence[Record]) -> list[Grid]:
    tables = []
    for group in _groups(averages).values():
        names = defenders(group)
        by_name = {item["defender"]: item for item in group}
        figures = list(dict.fromkeys([*QUALITY, *(key for item in group for key in item.get("figures") or {})]))
        figures = [figure for figure in figures if any(value(item, figure).mean is not None for item in group)]
        ranks = {figure: _ranks({name: value(by_name[name], figure) for name in names}, figure, by_name) for figure in figures}
        rows = [
            (
                named(name),
                [
                    Cell(str(by_name[name].get("pairs", ""))),
                    *(Cell(amount(value(by_name[name], figure), figure), ranks[figure].get(name, "")) for figure in figures),
                ],
                bool(by_name[name].get("ours")),
            )
            for name in names
        ]
        tables.append(
            Grid(
                _where(group[0]),
                "Means over the pairs, with the deviation between pairs. Best in bold, second underlined; references "
                "are not ranked. Shares in percent.",
                ("Defender", "Pairs", *(UNITS.get(figure, figure) for figure in figures)),
                rows,
            )
        )
    return tables


def _comparison_table(comparisons: Sequence[Mapping[str, Any]]) -> list[Grid]:
    if not comparisons:
        return []
    rows = [
        (
            f"{item.get('ours')} minus {item.get('other')}",
            [
                Cell(_where(item)), Cell(str(item.get("figure"))), Cell(str(item.get("n"))),
                Cell(share(item.get("mean_difference"))),
                Cell(" to ".join(share(end) for end in item.get("interval") or [None])),
                Cell("" if item.get("p") is None else f"{item['p']:.3g}"), Cell(str(item.get("test"))),
            ],
            False,
        )
        for item in comparisons
    ]
    return [
        Grid(
            "Ours against the best other defender", "Paired by pair and seed; a negative difference of ASR favours ours.",
            ("Difference", "Where", "Figure", "n", "Mean", "Interval", "p", "Test"), rows,
        )
    ]


def _pair_tables(records: Sequence[Record]) -> list[Grid]:
    """CACC and ASR of every defender on every pair."""
    tables = []
    for group in _groups(records).values():
        names = defenders(group)
        for figure in ("ASR", "CACC"):
            rows = []
            for pair in dict.fromkeys((item["dataset"], item["attack"]) for item in group):
                own = {item["defender"]: item for item in group if (item["dataset"], item["attack"]) == pair}
                found = {name: value(item, figure) for name, item in own.items()}
                ranks = _ranks(found, figure, own)
                cells = [
                    Cell(amount(found[name], figure), ranks.get(name, "")) if name in found else Cell("not run")
                    for name in names
                ]
                rows.append((" ".join(map(str, pair)), cells, False))
            tables.append(
                Grid(
                    f"{figure}: {_where(group[0])}",
                    f"{figure} in percent, mean ± standard deviation over seeds. Best in bold, second underlined; "
                    "references are not ranked.",
                    ("Pair", *map(named, names)), rows,
                )
            )
    return tables


def _paper_table(records: Sequence[Record]) -> list[Grid]:
    rows = []
    for record in records:
        paper = record.get("paper")
        if not isinstance(paper, dict):
            continue
        cells = [Cell(named(record["defender"]))]
        for figure in ("CACC", "ASR"):
            cells += [Cell(amount(value(record, figure), figure)), Cell(share(paper.get(figure)))]
        rows.append((f"{record['dataset']} {record['attack']} ({_where(record)})", cells, bool(record.get("ours"))))
    if not rows:
        return []
    return [
        Grid(
            "Beside the paper’s published numbers",
            "The paper’s columns are theirs, from their models and data sizes; they were not measured here.",
            ("Pair", "Defender", "CACC here", "CACC in the paper", "ASR here", "ASR in the paper"), rows,
        )
    ]


def _found_table(records: Sequence[Record]) -> list[Grid]:
    rows = [
        (
            f"{record['dataset']} {record['attack']} ({_where(record)})",
            [
                Cell(str(record["defender"])),
                Cell("; ".join(short(str(text), 120) for text in record["found"])),
                *(
                    Cell(amount(value(record, figure), figure))
                    for figure in ("backdoor", "label right", "precision", "recall")
                ),
            ],
            bool(record.get("ours")),
        )
        for record in records
        if record.get("found")
    ]
    if not rows:
        return []
    return [
        Grid(
            "What was found", "Triggers by seed; shares of seeds with a backdoor found and with the right label, and the "
            "precision and recall of the rows named, against the poison flags.",
            ("Pair", "Defender", "Found", "Backdoor", "Label right", "Precision", "Recall"), rows,
        )
    ]


def _ranks(found: Mapping[str, Value], figure: str, by_name: Mapping[str, Record]) -> dict[str, str]:
    """Best and second among the defenders that are compared; equal values share a rank."""
    if figure in AMOUNTS:
        return {}
    means = {
        name: item.mean for name, item in found.items() if item.mean is not None and not by_name[name].get("reference")
    }
    order = sorted({round(mean, 4) for mean in means.values()}, reverse=figure not in LOWER_IS_BETTER)
    places = dict(zip(order, ("best", "second"), strict=False)) if len(means) > 1 else {}
    return {name: places[round(mean, 4)] for name, mean in means.items() if round(mean, 4) in places}


def amount(found: Value, figure: str) -> str:
    """A figure as a table shows it."""
    if found.mean is None:
        return "–"
    if figure not in AMOUNTS:
        return found.percent()
    digits = 4 if figure == "LLM money" else 0 if found.mean >= 100 else 1
    return f"{found.mean:,.{digits}f}"
