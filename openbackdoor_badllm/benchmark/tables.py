"""The tables of a benchmark, and ``table.json`` as Markdown, CSV and LaTeX.

Best of the defenders in bold, second underlined; a figure that is not there is a dash. The references ``none``,
``oracle`` and ``clean`` are not ranked: they are no defences. The HTML page lays out the same tables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.digest import digest
from openbackdoor_badllm.benchmark.published import SOURCE
from openbackdoor_badllm.benchmark.records import (
    ABSENT,
    FIGURES,
    Record,
    compared,
    defenders_of,
    group_of,
    grouped,
    pair_of,
    places,
    present,
    shown,
)
from openbackdoor_badllm.benchmark.table_text import LATEX, MARKDOWN, Part, Row, Table
from openbackdoor_badllm.evaluation.folder import safe_cell
from openbackdoor_badllm.openbackdoor.host import BUILTIN

Made = Mapping[str, Any]
MAIN = ("CACC", "ASR", "excess ASR")
LONGEST = 200  # characters of what was found


class Section(NamedTuple):
    """All tables of one rate, setting, victim and profile, and ours against the best other in words."""

    title: str
    main: Table
    excess: Table | None
    means: Table | None
    details: Table
    comparisons: list[str]

    @property
    def tables(self) -> list[Table]:
        """Those that there are."""
        return [table for table in (self.main, self.excess, self.means, self.details) if table is not None]


def sections(made: Made) -> Iterator[Section]:
    """The tables of the content of ``table.json``."""
    for group, records in grouped(made["records"]).items():
        averages = [item for item in made["averages"] if group_of(item) == group]
        several = len({pair_of(record) for record in records}) > 1
        yield Section(
            _title(group, records),
            _by_pair(records, averages, MAIN[:2], _main_caption(records, averages)),
            _by_pair(records, averages, MAIN[2:], EXCESS) if present(records, MAIN[2:]) else None,
            _means(averages) if several and averages else None,
            _details(records),
            [compared(item) for item in made["comparisons"] if group_of(item) == group],
        )


def to_markdown(made: Made) -> str:
    """All tables, a section for each rate, setting and victim."""
    escape = MARKDOWN.escape
    parts = [f"# {escape(made['grid'])}", f"Host: {escape(_host(made))}."]
    glance = digest_lines(made)
    if glance:
        parts += ["## At a glance", *glance]
    for section in sections(made):
        parts.append(f"## {escape(section.title)}")
        parts += [part for table in section.tables for part in (escape(table.caption), MARKDOWN.table(table)) if part]
        if section.comparisons:
            parts.append("\n".join(f"- {escape(told)}" for told in section.comparisons))
    failures = dict.fromkeys(
        f"- {escape(pair_of(record))}, {escape(record['defender'])}, seed {item['seed']}: {escape(item['sentence'])}"
        for record in made["records"]
        for item in record["failures"]
    )
    if failures:
        parts += ["## Failed", "\n".join(failures)]
    if len(made["versions"]) > 1:
        parts.append("The cells were made with different versions or on different machines; table.json lists them.")
    return "\n\n".join(parts) + "\n"


def page_text(made: Made) -> str:
    """What a page tells of a benchmark: its digest; each pair, where defences are compared or seeds deviate; means."""
    parts = digest_lines(made)
    for group, section in zip(grouped(made["records"]), sections(made), strict=True):
        records = [record for record in made["records"] if group_of(record) == group]
        rivals = len({record["defender"] for record in records if record["seeds"] and not record["reference"]}) > 1
        if rivals or (group[0] > 0 and any(len(record["seeds"]) > 1 for record in records)):
            parts += [f"**{MARKDOWN.escape(section.title)}**", section.main.caption, MARKDOWN.table(section.main)]
        if rivals and section.means:
            parts += [section.means.caption, MARKDOWN.table(section.means)]
        if rivals and section.comparisons:
            parts.append("\n".join(f"- {MARKDOWN.escape(told)}" for told in section.comparisons))
    return "\n\n".join(parts)


def digest_lines(made: Made) -> list[str]:
    """A digest as Markdown, a table for each rate, setting and victim."""
    return [
        part
        for table in digest(made)
        for part in (f"**{MARKDOWN.escape(table.title)}**", MARKDOWN.table(table))
    ]


def to_latex(made: Made) -> str:
    r"""A ``tabular`` for each rate, setting and victim; needs ``\usepackage{booktabs}``."""
    parts = []
    for section in sections(made):
        parts += [f"% {section.title}. Host: {LATEX.escape(_host(made))}.", f"% {section.main.caption}"]
        parts += [LATEX.table(section.main), ""]
    return "\n".join(parts)


def to_csv(made: Made) -> str:
    """One line a record and average; shares as they are. Safe to open in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    keys = ("dataset", "attack", "rate", "setting", "victim", "profile", "defender")
    host = " ".join(part for part in made["host"].values() if part)
    columns = [(figure, part) for figure in FIGURES for part in ("mean", "std")]
    header = [*keys, "host", "seeds", "failures", *(" ".join(column) for column in columns), "paper CACC", "paper ASR"]
    writer.writerow(header)
    for record in [*made["records"], *made["averages"]]:
        described = [record.get(key, "all pairs") for key in keys]
        counts = [len(record["seeds"]), len(record["failures"])] if "seeds" in record else ["", ""]
        numbers = [record["figures"].get(figure, {}).get(part) for figure, part in columns]
        numbers += [(record["paper"] or {}).get(figure) for figure in MAIN[:2]]
        # Numbers stay numbers: a quotation mark before -0.01 would make it text.
        rounded = ["" if number is None else round(number, 6) for number in numbers]
        writer.writerow([*map(safe_cell, described), safe_cell(host), *counts, *rounded])
    return buffer.getvalue()


EXCESS = (
    "Excess ASR: points above the ASR of a victim trained on clean rows (0 is the aim; far below 0, the trigger points "
    "away from its target)."
)


def _main_caption(records: Sequence[Record], averages: Sequence[Record]) -> str:
    ranked = sum(not item["reference"] for item in averages) > 1
    caption = (
        "CACC / ASR in percent, mean ± standard deviation over the seeds. "
        + ("Best defence in bold, second underlined; " if ranked else "")
        + "none, oracle and clean are no defences"
        + (" and are not ranked." if ranked else ".")
    )
    if any(record["paper"] for record in records):
        caption += f" Rows in italics are the paper's own numbers ({SOURCE}), not measured here."
    return caption


def _by_pair(
    records: Sequence[Record], averages: Sequence[Record], figures: Sequence[str], caption: str
) -> Table:
    """A row a pair, a column a defender; the paper's numbers under each pair that it has."""
    defenders = defenders_of(records)
    rows: list[Row] = []
    for pair in dict.fromkeys(map(pair_of, records)):
        rows += _rows(pair, [record for record in records if pair_of(record) == pair], defenders, figures)
    if len({pair_of(record) for record in records}) > 1:
        whole = [item for item in averages if item["complete"]]  # over fewer pairs it would not be comparable
        rows += _rows("mean", whole, defenders, figures)
    return Table(" / ".join(figures), caption, ("pair", *defenders), rows)


def _rows(
    head: str, records: Sequence[Record], defenders: Sequence[str], figures: Sequence[str]
) -> Iterator[Row]:
    """What was measured, and below it the paper's numbers where it has some."""
    by_name = {record["defender"]: record for record in records}
    placed = {figure: places(records, figure) for figure in figures}

    def cell(name: str) -> list[Part]:
        record = by_name.get(name)
        if record is None or not record["figures"]:
            return [Part("failed" if record is not None and record.get("failures") else ABSENT)]
        return [Part(shown(record, figure), placed[figure].get(name, 0)) for figure in figures]

    yield Row(head, [cell(name) for name in defenders])
    paper = {name: record["paper"] for name, record in by_name.items() if record["paper"]}
    if paper and figures == MAIN[:2]:
        theirs = [
            [Part(f"{100 * paper[name][figure]:.1f}") for figure in figures] if name in paper else [Part("")]
            for name in defenders
        ]
        yield Row(f"{head}, the paper", theirs, theirs=True)


def _means(averages: Sequence[Record]) -> Table:
    """Every figure of each defender, the mean of the pairs that have it."""
    named = present(averages)
    whole = [item for item in averages if item["complete"]]
    placed = {figure: places(whole, figure) for figure in named}
    by_name = {item["defender"]: item for item in averages}
    rows = [
        Row(
            name,
            [
                [Part(str(by_name[name]["pairs"]))],
                *([Part(shown(by_name[name], figure), placed[figure].get(name, 0))] for figure in named),
            ],
            ours=by_name[name]["ours"],
        )
        for name in defenders_of(averages)
    ]
    caption = "Mean of the pairs that have the figure: shares in percent, seconds of a run, peak memory in MiB."
    return Table("Means", caption, ("defender", "pairs", *named), rows)


def _details(records: Sequence[Record]) -> Table:
    """A row a record, a column for each figure that any of them has, and what was found."""
    named = [*MAIN, *present(records, [figure for figure in FIGURES if figure not in MAIN])]
    found = any("found" in record for record in records)
    rows = []
    for record in records:
        if record["figures"]:
            cells = [[Part(record["defender"])], *([Part(shown(record, figure))] for figure in named)]
            if found:
                texts = " · ".join(dict.fromkeys(record.get("found", [])))
                cells.append([Part(texts[:LONGEST] or ABSENT)])
            rows.append(Row(pair_of(record), cells, ours=record["ours"]))
    caption = "Each line: shares in percent, seconds of the run, peak memory in MiB."
    return Table("Every line", caption, ("pair", "defender", *named, *(["found"] if found else [])), rows)


def _title(group: tuple[Any, ...], records: Sequence[Record]) -> str:
    rate, setting, victim, profile = group
    seeds = {seed for record in records for seed in record["seeds"]}
    return f"{victim}, {100 * rate:g} % poisoned, {setting}, profile {profile}, {len(seeds)} seed(s)"


def _host(made: Made) -> str:
    host = made["host"]
    return "built-in" if host["name"] == BUILTIN else f"the real OpenBackdoor, commit {host['revision']}"
