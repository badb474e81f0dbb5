"""One cell of a table: a figure, its place among the defenders, and text made harmless, as Markdown or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.benchmark.figures import HIGHER, LOWER, SHARES
from openbackdoor_badllm.evaluation.console import printable

ABSENT = "-"


class Style(NamedTuple):
    """How a format writes things."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    underline: Callable[[str], str]
    theirs: Callable[[str], str]
    plus_minus: str


MARKDOWN = Style(
    escape=lambda text: escape_markdown(text),
    bold=lambda text: f"**{text}**",
    underline=lambda text: f"<u>{text}</u>",
    theirs=lambda text: f"*{text}*",
    plus_minus=" ± ",
)
LATEX = Style(
    escape=lambda text: escape_latex(text),
    bold=lambda text: rf"\textbf{{{text}}}",
    underline=lambda text: rf"\underline{{{text}}}",
    theirs=lambda text: rf"\textit{{{text}}}",
    plus_minus=r"$\pm$",
)


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


def cells_of(
    members: Mapping[str, Mapping[str, Any]], defenders: Sequence[str], figures: Sequence[str], style: Style
) -> list[str]:
    placed = {figure: ranks(list(members.values()), figure) for figure in figures}
    cells = []
    for name in defenders:
        record = members.get(name)
        if record is None or not record["figures"]:
            cells.append("failed" if record is not None and record.get("failures") else ABSENT)
            continue
        shown = (ranked_cell(figure_cell(record, figure, style), placed[figure].get(name), style) for figure in figures)
        cells.append(" / ".join(shown))
    return cells


def figure_cell(record: Mapping[str, Any], figure: str, style: Style) -> str:
    """A figure; of an average its mean alone, as its spread is over the pairs, which says nothing here."""
    spread = record["figures"].get(figure)
    if spread and "pairs" in record:
        spread = {**spread, "values": [spread["mean"]]}
    return percent(spread, style.plus_minus, share=figure in SHARES)


def ranked_cell(text: str, place: int | None, style: Style) -> str:
    return style.bold(text) if place == 1 else style.underline(text) if place == 2 else text


def paper_cells(
    theirs: Mapping[str, Mapping[str, float]], defenders: Sequence[str], figures: Sequence[str], style: Style
) -> list[str]:
    return [
        style.theirs(" / ".join(f"{100 * theirs[name][figure]:.1f}" for figure in figures)) if name in theirs else ""
        for name in defenders
    ]


def escape_markdown(text: str) -> str:
    """What rows or an LLM wrote, as text: no table, no markup, no line of its own."""
    plain = printable(text)
    for char in ("\\", "|", "`", "*", "_", "[", "]"):
        plain = plain.replace(char, "\\" + char)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_latex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        **{char: "\\" + char for char in "&%$#_{}"},
    }  # fmt: skip
    return "".join(special.get(char, char if char.isprintable() else "?") for char in text)
