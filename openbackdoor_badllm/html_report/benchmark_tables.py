"""The tables of a benchmark's page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbackdoor_badllm.html_report.pictures.canvas import label
from openbackdoor_badllm.html_report.pictures.records import Record, Value, defenders, named, value
from openbackdoor_badllm.html_report.shown import short
from openbackdoor_badllm.html_report.verdict_text import share

LOWER_IS_BETTER = frozenset(
    {
        "ASR", "excess ASR", "variant ASR", "excess variant ASR", "FRR", "FAR", "seconds", "memory", "LLM calls",
        "LLM tokens", "LLM money",
    }
)
_NUMBER = re.compile(r"[-+]?[\d.,]+%?( ± [\d.]+| points)?|–|not run|not measured|")
AMOUNTS = frozenset({"seconds", "memory", "LLM calls", "LLM tokens", "LLM money"})
QUALITY = ("CACC", "ASR", "excess ASR", "R-Acc")
FOUND = ("backdoor", "label right", "precision", "recall")  # what one defender alone has; in a table of its own
UNITS = {"memory": "memory (MiB)", "seconds": "seconds"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    rank: str = ""  # "best" or "second" among the defenders compared


@dataclass(frozen=True)
class Grid:
    """A table: first column heads the rows."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell], bool]]  # head, cells, whether it is ours

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers alone; the first heads the rows."""
        columns = range(len(self.header) - 1)
        return [False, *(all(_NUMBER.fullmatch(cells[place].text) for _, cells, _ in self.rows) for place in columns)]


def points(difference: Any) -> str:
    """A difference of shares, in percentage points."""
    return "not known" if not isinstance(difference, int | float) else f"{100 * difference:+.1f} points"


def group_of(item: Record) -> tuple[str, ...]:
    """What records must have in common to stand in one table."""
    return tuple(str(item.get(key)) for key in ("rate", "setting", "victim", "profile"))


def where(item: Record) -> str:
    """Rate, setting and victim in words."""
    return f"{100 * float(item['rate']):g}% poisoned ({label(item['setting'])}), {label(item['victim'])}"


def pair_of(record: Record) -> str:
    """Data set, attack and where, in words."""
    return f"{label(record['dataset'])} {label(record['attack'])}, {where(record)}"


def groups_of(items: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    """Records by :func:`group_of`, in their order."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for item in items:
        groups.setdefault(group_of(item), []).append(item)
    return groups


def average_tables(averages: Sequence[Record]) -> list[Grid]:
    """Every defender over all pairs of one rate, setting and victim."""
    tables = []
    for group in groups_of(averages).values():
        names = defenders(group)
        by_name = {item["defender"]: item for item in group}
        figures = list(dict.fromkeys([*QUALITY, *(key for item in group for key in item.get("figures") or {})]))
        figures = [
            figure
            for figure in figures
            if figure not in FOUND and any(value(item, figure).mean is not None for item in group)
        ]
        ranks = {
            figure: _ranks({name: value(by_name[name], figure) for name in names}, figure, by_name)
            for figure in figures
        }
        rows = [
            (
                named(name),
                [
                    Cell(str(by_name[name].get("pairs", ""))),
                    *(
                        Cell(amount(value(by_name[name], figure), figure), ranks[figure].get(name, ""))
                        for figure in figures
                    ),
                ],
                bool(by_name[name].get("ours")),
            )
            for name in names
        ]
        tables.append(
            Grid(
                where(group[0]),
                "Means over the pairs, with the deviation between pairs. Best in bold, second underlined; references "
                "are not ranked. Shares in percent.",
                ("Defender", "Pairs", *(UNITS.get(figure, figure) for figure in figures)),
                rows,
            )
        )
    return tables


def comparison_table(comparisons: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """Ours against the best other; none where nothing was compared."""
    if not comparisons:
        return []
    tests = "; ".join(dict.fromkeys(str(item.get("test")) for item in comparisons))
    rows = [
        (
            f"{label(item.get('ours'))} minus {label(item.get('other'))}",
            [
                Cell(where(item)),
                Cell(str(item.get("figure"))),
                Cell(str(item.get("n"))),
                Cell(points(item.get("mean_difference"))),
                Cell(" to ".join(points(end) for end in item["interval"]) if item.get("interval") else "–"),
                Cell("–" if item.get("p") is None else f"{item['p']:.3g}"),
            ],
            False,
        )
        for item in comparisons
    ]
    return [
        Grid(
            "Ours against the best other defender",
            f"Paired by pair and seed; a negative difference of ASR favours ours. {tests}.",
            ("Difference", "Where", "Figure", "n", "Mean", "Interval", "p"),
            rows,
        )
    ]


def pair_tables(records: Sequence[Record]) -> list[Grid]:
    """CACC and ASR of every defender on every pair."""
    tables = []
    for group in groups_of(records).values():
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
                rows.append((" ".join(label(name) for name in pair), cells, False))
            tables.append(
                Grid(
                    f"{figure}: {where(group[0])}",
                    f"{figure} in percent, mean ± standard deviation over seeds. Best in bold, second underlined; "
                    "references are not ranked.",
                    ("Pair", *map(named, names)),
                    rows,
                )
            )
    return tables


def paper_table(records: Sequence[Record]) -> list[Grid]:
    """The paper's published numbers beside ours, marked as theirs."""
    rows = []
    for record in records:
        paper = record.get("paper")
        if not isinstance(paper, dict):
            continue
        cells = [Cell(named(record["defender"]))]
        for figure in ("CACC", "ASR"):
            cells += [Cell(amount(value(record, figure), figure)), Cell(share(paper.get(figure)))]
        rows.append((pair_of(record), cells, bool(record.get("ours"))))
    if not rows:
        return []
    return [
        Grid(
            "Beside the paper’s published numbers",
            "The paper’s columns are theirs, from their models and data sizes; they were not measured here.",
            ("Pair", "Defender", "CACC here", "CACC in the paper", "ASR here", "ASR in the paper"),
            rows,
        )
    ]


def found_table(records: Sequence[Record]) -> list[Grid]:
    """The triggers that were found, seed by seed."""
    rows = [
        (
            pair_of(record),
            [
                Cell(named(record["defender"])),
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
            "What was found",
            "Triggers by seed; shares of seeds with a backdoor found and with the right label, and the "
            "precision and recall of the rows named, against the poison flags.",
            ("Pair", "Defender", "Found", "Backdoor", "Label right", "Precision", "Recall"),
            rows,
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
