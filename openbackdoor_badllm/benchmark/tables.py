"""``table.json`` as Markdown, CSV and LaTeX. Best of the defenders in bold, second underlined; a figure that is not
there is a dash. The references ``none``, ``oracle`` and ``clean`` are not ranked: they are no defences.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.compare import group_of
from openbackdoor_badllm.benchmark.digest import digest
from openbackdoor_badllm.benchmark.figures import FIGURES, HIGHER, LOWER, SHARES
from openbackdoor_badllm.benchmark.published import SOURCE
from openbackdoor_badllm.evaluation.console import printable
from openbackdoor_badllm.evaluation.folder import safe_cell
from openbackdoor_badllm.openbackdoor.host import BUILTIN

Table = Mapping[str, Any]
ABSENT = "-"
DETAILS = tuple(figure for figure in FIGURES if figure not in ("CACC", "ASR", "excess ASR"))


class Style(NamedTuple):
    """How a format writes things."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    underline: Callable[[str], str]
    theirs: Callable[[str], str]
    plus_minus: str


MARKDOWN = Style(
    escape=lambda text: _markdown(text),
    bold=lambda text: f"**{text}**",
    underline=lambda text: f"<u>{text}</u>",
    theirs=lambda text: f"*{text}*",
    plus_minus=" ± ",
)
LATEX = Style(
    escape=lambda text: _latex(text),
    bold=lambda text: rf"\textbf{{{text}}}",
    underline=lambda text: rf"\underline{{{text}}}",
    theirs=lambda text: rf"\textit{{{text}}}",
    plus_minus=r"$\pm$",
)


def to_markdown(table: Table) -> str:
    """All tables, a section for each rate, setting and victim."""
    parts = [f"# {_markdown(table['grid'])}\n", f"Host: {_markdown(_host(table))}.\n"]
    glance = digest_lines(digest(table))
    if glance:
        parts += ["## At a glance\n", *glance, ""]
    for group, records in _groups(table["records"]).items():
        averages = _of_group(table["averages"], group)
        parts.append(f"## {_markdown(_title(group, records))}\n")
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
        f"- {_markdown(_pair(record))}, {_markdown(record['defender'])}, seed {item['seed']}: "
        f"{_markdown(item['sentence'])}"
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
            lines += ["", f"**{_markdown(_title(group, records))}**", "", _by_pair(records, averages)]
        if compared:
            lines += ["", _of_means(averages), "", *_comparisons(table, group)]
    return lines


def digest_lines(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """A digest as Markdown, a table for each rate, setting and victim; see :func:`.digest.digest`."""
    lines: list[str] = []
    for group in told:
        what = f"{100 * group['rate']:g} % poisoned ({group['setting']})" if group["rate"] else "clean rows"
        lines += [f"**{_markdown(group['victim'])}, profile {group['profile']}, {what}**", ""]
        rows = [(entry["what"], str(entry["pairs"]), str(entry["runs"]), entry["text"]) for entry in group["entries"]]
        lines += [_markdown_table(("figure", "pairs", "runs", "found"), [[*map(_markdown, row)] for row in rows]), ""]
    return lines[:-1]


def to_latex(table: Table) -> str:
    r"""A ``tabular`` for each rate, setting and victim; needs ``\usepackage{booktabs}``."""
    parts = []
    for group, records in _groups(table["records"]).items():
        averages = _of_group(table["averages"], group)
        header, rows = _main(records, averages, ("CACC", "ASR"), LATEX)
        parts.append(f"% {_title(group, records)}. Host: {_latex(_host(table))}.")
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


def sentence(comparison: Mapping[str, Any]) -> str:
    """A comparison in words."""
    p, interval = comparison["p"], comparison["interval"]
    told = "too few pairs for a test" if p is None else f"p = {p:.3g}, Wilcoxon signed-rank, two-sided"
    if interval is not None:
        low, high = (100 * bound for bound in interval)
        told = f"95 % bootstrap interval {low:+.1f} to {high:+.1f}; {told}"
    return (
        f"{comparison['figure']}: {comparison['ours']} minus {comparison['other']} (the best other) is "
        f"{100 * comparison['mean_difference']:+.1f} points on average over {comparison['n']} "
        f"{'pair' if comparison['n'] == 1 else 'pairs'} of attack and seed ({told})."
    )


def percent(spread: Mapping[str, Any] | None, plus_minus: str = " ± ", *, share: bool = True) -> str:
    """Mean, with the standard deviation where there is more than one value."""
    if not spread or spread["mean"] is None:
        return ABSENT
    factor, digits = (100, 1) if share else (1, 0 if abs(spread["mean"]) >= 10 else 2)
    mean = f"{factor * spread['mean']:.{digits}f}"
    if len([value for value in spread["values"] if value is not None]) < 2:
        return mean
    return f"{mean}{plus_minus}{factor * spread['std']:.{digits}f}"


def ranks(records: Sequence[Mapping[str, Any]], figure: str) -> dict[str, int]:
    """1 for the best defenders of one pair, 2 for the second; equal figures, as printed, share a place."""
    values: dict[str, float] = {}
    for record in records:
        mean = record["figures"].get(figure, {}).get("mean")
        if not record["reference"] and mean is not None and not math.isnan(mean):
            value = abs(mean) if figure == "excess ASR" else -mean if figure in HIGHER else mean
            values[record["defender"]] = round(value, 3)
    if figure not in (*LOWER, *HIGHER) or len(values) < 2:
        return {}
    places = sorted(set(values.values()))[:2]
    return {name: places.index(value) + 1 for name, value in values.items() if value in places}


def _main(
    records: Sequence[Mapping[str, Any]], averages: Sequence[Mapping[str, Any]], figures: Sequence[str], style: Style
) -> tuple[list[str], list[list[str]]]:
    """A row a pair, a column a defender; the paper's numbers under each pair that it has."""
    defenders = _defenders(records)
    header = ["", *(style.escape(name) for name in defenders)]
    rows: list[list[str]] = []
    for pair in dict.fromkeys(map(_pair, records)):
        members = {record["defender"]: record for record in records if _pair(record) == pair}
        rows.append([style.escape(pair), *_cells(members, defenders, figures, style)])
        theirs = {name: record["paper"] for name, record in members.items() if record["paper"]}
        if theirs and "CACC" in figures:
            rows.append([style.theirs(style.escape(f"{pair}, the paper")), *_theirs(theirs, defenders, figures, style)])
    if len(dict.fromkeys(map(_pair, records))) > 1:
        members = {item["defender"]: item for item in averages}
        partial = [name for name, item in members.items() if not item["complete"]]
        complete = {name: item for name, item in members.items() if item["complete"]}
        cells = _cells(complete, defenders, figures, style)
        rows.append(["mean", *cells])
        theirs = {name: item["paper"] for name, item in members.items() if item["paper"]}
        if theirs and "CACC" in figures:
            rows.append([style.theirs("mean, the paper"), *_theirs(theirs, defenders, figures, style)])
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
        shown = {figure: _shown(members[name], figure, MARKDOWN) for figure in named}
        cells = [_placed(text, placed[figure].get(name), MARKDOWN) for figure, text in shown.items()]
        rows.append([_markdown(name), str(members[name]["pairs"]), *cells])
    return (
        "Mean of the pairs that have the figure: shares in percent, seconds of a run, peak memory in MiB.\n\n"
        + _markdown_table(("", "pairs", *named), rows)
    )


def _comparisons(table: Table, group: tuple[Any, ...]) -> list[str]:
    return [f"- {sentence(item)}" for item in _of_group(table["comparisons"], group)]


def _cells(
    members: Mapping[str, Mapping[str, Any]], defenders: Sequence[str], figures: Sequence[str], style: Style
) -> list[str]:
    placed = {figure: ranks(list(members.values()), figure) for figure in figures}
    cells = []
    for name in defenders:
        record = members.get(name)
        if record is None or not record["figures"]:
            cells.append("failed" if record is not None and record.get("failures") else ABSENT)
            continue
        shown = (_placed(_shown(record, figure, style), placed[figure].get(name), style) for figure in figures)
        cells.append(" / ".join(shown))
    return cells


def _shown(record: Mapping[str, Any], figure: str, style: Style) -> str:
    """A figure; of an average its mean alone, as its spread is over the pairs, which says nothing here."""
    spread = record["figures"].get(figure)
    if spread and "pairs" in record:
        spread = {**spread, "values": [spread["mean"]]}
    return percent(spread, style.plus_minus, share=figure in SHARES)


def _placed(text: str, place: int | None, style: Style) -> str:
    return style.bold(text) if place == 1 else style.underline(text) if place == 2 else text


def _theirs(
    theirs: Mapping[str, Mapping[str, float]], defenders: Sequence[str], figures: Sequence[str], style: Style
) -> list[str]:
    return [
        style.theirs(" / ".join(f"{100 * theirs[name][figure]:.1f}" for figure in figures)) if name in theirs else ""
        for name in defenders
    ]


def _details(records: Sequence[Mapping[str, Any]], style: Style) -> tuple[list[str], list[list[str]]]:
    """A row a record, a column for each further figure that any of them has."""
    named = [figure for figure in DETAILS if any(figure in record["figures"] for record in records)]
    found = any("found" in record for record in records)
    header = ["pair", "defender", "CACC", "ASR", "excess ASR", *named, *(["found"] if found else [])]
    rows = []
    for record in records:
        if not record["figures"]:
            continue
        shown = [_shown(record, figure, style) for figure in (*header[2:5], *named)]
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


def _pair(record: Mapping[str, Any]) -> str:
    return f"{record['dataset']} {record['attack']}"


def _number(value: float | None) -> object:
    return "" if value is None else round(value, 6)


def _markdown(text: str) -> str:
    """What rows or an LLM wrote, as text: no table, no markup, no line of its own."""
    plain = printable(text)
    for char in ("\\", "|", "`", "*", "_", "[", "]"):
        plain = plain.replace(char, "\\" + char)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _latex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        **{char: "\\" + char for char in "&%$#_{}"},
    }  # fmt: skip
    return "".join(special.get(char, char if char.isprintable() else "?") for char in text)
