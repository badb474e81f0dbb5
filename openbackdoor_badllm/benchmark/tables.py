"""``table.json`` as Markdown, CSV and LaTeX. Best of the defenders in bold, second underlined; a figure that is not
there is a dash. The references ``none``, ``oracle`` and ``clean`` are not ranked: they are no defences.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from openbackdoor_badllm.benchmark.compare import group_of
from openbackdoor_badllm.benchmark.digest import digest
from openbackdoor_badllm.benchmark.figures import FIGURES
from openbackdoor_badllm.benchmark.published import SOURCE
from openbackdoor_badllm.benchmark.table_cells import (
    ABSENT,
    LATEX,
    MARKDOWN,
    Style,
    cells_of,
    escape_latex,
    escape_markdown,
    figure_cell,
    paper_cells,
    ranked_cell,
    ranks,
    sentence,
)
from openbackdoor_badllm.evaluation.folder import safe_cell
from openbackdoor_badllm.openbackdoor.host import BUILTIN

Table = Mapping[str, Any]
DETAILS = tuple(figure for figure in FIGURES if figure not in ("CACC", "ASR", "excess ASR"))


def to_markdown(table: Table) -> str:
    """All tables, a section for each rate, setting and victim."""
    parts = [f"# {escape_markdown(table['grid'])}\n", f"Host: {escape_markdown(_host(table))}.\n"]
    glance = digest_lines(digest(table))
    if glance:
        parts += ["## At a glance\n", *glance, ""]
    for group, records in _groups(table["records"]).items():
        averages = _of_group(table["averages"], group)
        parts.append(f"## {escape_markdown(_title(group, records))}\n")
        parts.append(_by_pair(records, averages) + "\n")
        if any("excess ASR" in record["figures"] for record in records):
            parts.append("\nExcess ASR: points above the ASR of a victim trained on clean rows (0 is the aim; far "
                         "below 0, the trigger points away from its target).\n")  # fmt: skip
            parts.append(_markdown_table(*_main(records, averages, ("excess ASR",), MARKDOWN)))
        if len(dict.fromkeys(map(_pair, records))) > 1 and averages:
            parts.append(f"\n{_of_means(averages)}")
        parts.append("\nEach line: shares in percent, seconds of the run, peak memory in MiB.\n")
        parts.append(_markdown_table(*_details(records, MARKDOWN)))
        compared = _comparisons(table, group)
        if compared:
            parts += ["", *compared]
        parts.append("")
    failures = [
        f"- {escape_markdown(_pair(record))}, {escape_markdown(record['defender'])}, seed {item['seed']}: "
        f"{escape_markdown(item['sentence'])}"
        for record in table["records"]
        for item in record["failures"]
    ]
    if failures:
        parts += ["## Failed\n", *dict.fromkeys(failures), ""]
    if len(table["versions"]) > 1:
        parts.append("The cells were made with different versions or on different machines; table.json lists them.\n")
    return "\n".join(parts)


def page_lines(table: Table) -> list[str]:
    """What a page tells of a benchmark: its digest; each pair, where defences are compared or seeds deviate; means."""
    lines = digest_lines(digest(table))
    for group, records in _groups(table["records"]).items():
        averages = _of_group(table["averages"], group)
        compared = sum(not item["reference"] for item in averages) > 1
        poisoned = group[0] > 0
        if compared or (poisoned and any(len(record["seeds"]) > 1 for record in records)):
            lines += ["", f"**{escape_markdown(_title(group, records))}**", "", _by_pair(records, averages)]
        if compared:
            lines += ["", _of_means(averages), "", *_comparisons(table, group)]
    return lines


def digest_lines(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """A digest as Markdown, a table for each rate, setting and victim; see :func:`.digest.digest`."""
    lines: list[str] = []
    for group in told:
        what = f"{100 * group['rate']:g} % poisoned ({group['setting']})" if group["rate"] else "clean rows"
        lines += [f"**{escape_markdown(group['victim'])}, profile {group['profile']}, {what}**", ""]
        rows = [(entry["what"], str(entry["pairs"]), str(entry["runs"]), entry["text"]) for entry in group["entries"]]
        cells = [[*map(escape_markdown, row)] for row in rows]
        lines += [_markdown_table(("figure", "pairs", "runs", "found"), cells), ""]
    return lines[:-1]


def to_latex(table: Table) -> str:
    r"""A ``tabular`` for each rate, setting and victim; needs ``\usepackage{booktabs}``."""
    parts = []
    for group, records in _groups(table["records"]).items():
        averages = _of_group(table["averages"], group)
        header, rows = _main(records, averages, ("CACC", "ASR"), LATEX)
        parts.append(f"% {_title(group, records)}. Host: {escape_latex(_host(table))}.")
        parts.append("% CACC / ASR in percent; best bold, second underlined.")
        if any(record["paper"] for record in records):
            parts.append(f"% Rows in italics: the paper's own numbers ({SOURCE}), not measured here.")
        parts.append(rf"\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}")
        parts += [r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
        for row in rows:
            if row[0] == "mean":
                parts.append(r"\midrule")
            parts.append(" & ".join(row) + r" \\")
        parts += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


def to_csv(table: Table) -> str:
    """One line a record and average; shares as they are. Safe to open in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    keys = ("dataset", "attack", "rate", "setting", "victim", "profile", "defender")
    host = " ".join(part for part in table["host"].values() if part)
    columns = [f"{figure} {part}" for figure in FIGURES for part in ("mean", "std")]
    writer.writerow([*keys, "host", "seeds", "failures", *columns, "paper CACC", "paper ASR"])
    for record in [*table["records"], *table["averages"]]:
        described: list[Any] = [record.get(key, "all pairs") for key in keys]
        counts = [len(record["seeds"]), len(record["failures"])] if "seeds" in record else ["", ""]
        numbers: list[Any] = [
            _number(record["figures"].get(figure, {}).get(part)) for figure in FIGURES for part in ("mean", "std")
        ]
        paper = [_number((record["paper"] or {}).get(figure)) for figure in ("CACC", "ASR")]
        # Numbers stay numbers: a quotation mark before -0.01 would make it text.
        writer.writerow([*map(safe_cell, described), safe_cell(host), *counts, *numbers, *paper])
    return buffer.getvalue()


def _main(
    records: Sequence[Mapping[str, Any]], averages: Sequence[Mapping[str, Any]], figures: Sequence[str], style: Style
) -> tuple[list[str], list[list[str]]]:
    """A row a pair, a column a defender; the paper's numbers under each pair that it has."""
    defenders = _defenders(records)
    header = ["", *(style.escape(name) for name in defenders)]
    rows: list[list[str]] = []
    for pair in dict.fromkeys(map(_pair, records)):
        members = {record["defender"]: record for record in records if _pair(record) == pair}
        rows.append([style.escape(pair), *cells_of(members, defenders, figures, style)])
        theirs = {name: record["paper"] for name, record in members.items() if record["paper"]}
        if theirs and "CACC" in figures:
            name = style.theirs(style.escape(f"{pair}, the paper"))
            rows.append([name, *paper_cells(theirs, defenders, figures, style)])
    if len(dict.fromkeys(map(_pair, records))) > 1:
        members = {item["defender"]: item for item in averages}
        partial = [name for name, item in members.items() if not item["complete"]]
        complete = {name: item for name, item in members.items() if item["complete"]}
        cells = cells_of(complete, defenders, figures, style)
        rows.append(["mean", *cells])
        theirs = {name: item["paper"] for name, item in members.items() if item["paper"]}
        if theirs and "CACC" in figures:
            rows.append([style.theirs("mean, the paper"), *paper_cells(theirs, defenders, figures, style)])
        for name in partial:  # a mean over fewer pairs would not be comparable
            rows[-1 if not theirs else -2][1 + defenders.index(name)] = ABSENT
    return header, rows


def _by_pair(records: Sequence[Mapping[str, Any]], averages: Sequence[Mapping[str, Any]]) -> str:
    """CACC and ASR of each pair and defender, as Markdown."""
    ranked = sum(not item["reference"] for item in averages) > 1
    parts = [
        "CACC / ASR in percent, mean ± standard deviation over the seeds. "
        + ("Best defence in bold, second underlined; " if ranked else "")
        + "`none`, `oracle` and `clean` are no defences"
        + (" and are not ranked." if ranked else "."),
        _markdown_table(*_main(records, averages, ("CACC", "ASR"), MARKDOWN)),
    ]
    if any(record["paper"] for record in records):
        parts.append(f"*Rows in italics are the paper's own numbers ({SOURCE}), not measured here.*")
    return "\n\n".join(parts)


def _of_means(averages: Sequence[Mapping[str, Any]]) -> str:
    """Every figure of each defender, the mean of the pairs that have it, as Markdown."""
    named = [figure for figure in FIGURES if any(figure in item["figures"] for item in averages)]
    placed = {figure: ranks([item for item in averages if item["complete"]], figure) for figure in named}
    members = {item["defender"]: item for item in averages}
    rows = []
    for name in _defenders(averages):
        shown = {figure: figure_cell(members[name], figure, MARKDOWN) for figure in named}
        cells = [ranked_cell(text, placed[figure].get(name), MARKDOWN) for figure, text in shown.items()]
        rows.append([escape_markdown(name), str(members[name]["pairs"]), *cells])
    return (
        "Mean of the pairs that have the figure: shares in percent, seconds of a run, peak memory in MiB.\n\n"
        + _markdown_table(("", "pairs", *named), rows)
    )


def _comparisons(table: Table, group: tuple[Any, ...]) -> list[str]:
    return [f"- {sentence(item)}" for item in _of_group(table["comparisons"], group)]


def _details(records: Sequence[Mapping[str, Any]], style: Style) -> tuple[list[str], list[list[str]]]:
    """A row a record, a column for each further figure that any of them has."""
    named = [figure for figure in DETAILS if any(figure in record["figures"] for record in records)]
    found = any("found" in record for record in records)
    header = ["pair", "defender", "CACC", "ASR", "excess ASR", *named, *(["found"] if found else [])]
    rows = []
    for record in records:
        if not record["figures"]:
            continue
        shown = [figure_cell(record, figure, style) for figure in (*header[2:5], *named)]
        texts = [" · ".join(dict.fromkeys(record.get("found", [])))] if found else []
        rows.append([style.escape(_pair(record)), style.escape(record["defender"]), *shown,
                     *(style.escape(text[:200]) or ABSENT for text in texts)])  # fmt: skip
    return header, rows


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _defenders(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """``none`` first, then the defenders, then ``oracle`` and ``clean``."""
    names = list(dict.fromkeys(record["defender"] for record in records))
    return sorted(names, key=lambda name: {"none": 0, "oracle": 2, "clean": 3}.get(name, 1))


def _groups(records: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(record)
    return groups


def _of_group(items: Sequence[Mapping[str, Any]], group: tuple[Any, ...]) -> list[Mapping[str, Any]]:
    return [item for item in items if group_of(item) == group]


def _title(group: tuple[Any, ...], records: Sequence[Mapping[str, Any]]) -> str:
    rate, setting, victim, profile = group
    seeds = sorted({seed for record in records for seed in record["seeds"]})
    return f"{victim}, {100 * rate:g} % poisoned, {setting}, profile {profile}, {len(seeds)} seed(s)"


def _host(table: Table) -> str:
    host = table["host"]
    return "built-in" if host["name"] == BUILTIN else f"the real OpenBackdoor, commit {host['revision']}"


def _number(value: float | None) -> object:
    return "" if value is None else round(value, 6)


def _pair(record: Mapping[str, Any]) -> str:
    return f"{record['dataset']} {record['attack']}"
