"""What the victims of one run say of the test rows: bars of CACC, ASR and R-Acc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from openbackdoor_badllm.html_report.pictures.canvas import (
    INK,
    LOOKS,
    MUTED,
    PAPER,
    Picture,
    Table,
    draw,
    label,
    percent_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("CACC", "ASR", "R-Acc")


class Bar(NamedTuple):
    """One victim's figures; None where one was not measured."""

    name: str
    values: Sequence[float | None]


def percent(value: float | None) -> str:
    """A share as text."""
    return "not measured" if value is None else f"{100 * value:.1f}%"


def lines_picture(bars: Sequence[Bar]) -> Picture:
    """A group of bars for each victim."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        size = 0.8 / len(FIGURES)
        for number, name in enumerate(FIGURES):
            style = LOOKS[number]
            places = [row + (number - 1) * size for row in range(len(bars))]
            heights = [bar.values[number] or 0.0 for bar in bars]
            axes.bar(
                places,
                heights,
                size * 0.92,
                label=name,
                color=style.colour,
                hatch=style.hatch,
                edgecolor=PAPER,
                linewidth=0.5,
            )
            for place, bar in zip(places, bars, strict=True):
                value = bar.values[number]
                text = "?" if value is None else f"{100 * value:.0f}"
                axes.text(place, (value or 0.0) + 0.015, text, ha="center", va="bottom", fontsize=8, color=INK)
        axes.set_xticks(range(len(bars)), [_wrapped(bar.name) for bar in bars])
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        percent_axis(axes, "share of test rows")
        axes.set_ylim(0, 1.12)
        axes.spines["left"].set_color(MUTED)
        figure.legend(loc="outside upper center", ncols=3)

    table = Table(("victim", *FIGURES), [(bar.name, *map(percent, bar.values)) for bar in bars])
    told = "; ".join(
        f"{bar.name}: " + ", ".join(f"{name} {percent(value)}" for name, value in zip(FIGURES, bar.values, strict=True))
        for bar in bars
    )
    return draw("victims", "What each victim says of the test rows", f"Bars. {told}.", paint, table=table)


def _wrapped(name: str) -> str:
    words = label(name).split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + ("\n" + " ".join(words[half:]) if words[half:] else "")
