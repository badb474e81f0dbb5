"""CACC and ASR over poison rates: the paper's robustness figure, one column an attack, one line a defender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openbackdoor_badllm.html_report.pictures.canvas import Look, Picture, Table, draw, label, percent_axis
from openbackdoor_badllm.html_report.pictures.records import (
    Record,
    defenders,
    distinct,
    file_name,
    looks,
    named,
    value,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = ("CACC", "ASR")


def robustness_pictures(records: Sequence[Record]) -> list[Picture]:
    """One picture for each data set (and setting and victim) that was poisoned at two rates or more."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(str(record[key]) for key in ("dataset", "setting", "victim")), []).append(record)
    names = defenders(records)
    return [_picture(key, own, names) for key, own in groups.items() if len(distinct(own, "rate")) > 1]


def _picture(key: tuple[str, ...], records: Sequence[Record], names: Sequence[str]) -> Picture:
    attacks = distinct(records, "attack")
    styles = looks(names)
    lowest = {
        name: min(
            (found.mean - (found.std or 0) for found in (value(item, name) for item in records) if found.mean),
            default=0.0,
        )
        for name in ROWS
    }
    lowest["ASR"] = 0.0

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(ROWS), len(attacks), sharex=True, sharey="row", squeeze=False)
        for column, attack in enumerate(attacks):
            for row, name in enumerate(ROWS):
                axes = panels[row][column]
                for defender in names:
                    own = [item for item in records if item["attack"] == attack and item["defender"] == defender]
                    _line(axes, sorted(own, key=lambda item: float(item["rate"])), name, styles[defender], defender)
                percent_axis(axes, name if column == 0 else "", lowest=lowest[name])
            panels[0][column].set_title(label(attack, 20))
            panels[-1][column].set_xlabel("poison rate (%)")
        handles, shown = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, shown, loc="outside upper center", ncols=2 if len(attacks) < 2 else 4)

    told = [
        (record, value(record, "CACC"), value(record, "ASR"))
        for record in sorted(records, key=lambda item: (attacks.index(item["attack"]), names.index(item["defender"])))
    ]
    table = Table(
        ("attack", "defender", "poison rate", "CACC (%)", "ASR (%)"),
        [
            (label(item["attack"]), named(item["defender"]), f"{100 * item['rate']:g}%", cacc.percent(), asr.percent())
            for item, cacc, asr in told
        ],
    )
    dataset, setting, victim = key
    rates = sorted({float(record["rate"]) for record in records})
    return draw(
        file_name("robustness", dataset, setting, victim),
        f"Robustness to the poison rate: {label(dataset)} ({label(setting)}, {label(victim)})",
        f"Lines of the mean over seeds with a band of one standard deviation, poison rates {100 * rates[0]:g} to "
        f"{100 * rates[-1]:g} percent; accuracy on clean test rows above, attack success rate below; one column for "
        f"each of {', '.join(label(attack) for attack in attacks)}. The numbers are in the table below.",
        paint,
        table=table,
        width=max(5.0, 2.3 * len(attacks) + 0.6),
        height=4.8,
    )


def _line(axes: Axes, records: Sequence[Record], figure: str, style: Look, defender: str) -> None:
    known = [(100 * float(item["rate"]), value(item, figure)) for item in records]
    points = [(rate, found.mean, found.std) for rate, found in known if found.mean is not None]
    if not points:
        return
    rates, means, deviations = zip(*points, strict=True)
    axes.plot(
        rates, means, color=style.colour, marker=style.marker, linestyle=style.dash, markersize=5, label=named(defender)
    )
    if any(deviations):
        low = [mean - (std or 0) for mean, std in zip(means, deviations, strict=True)]
        high = [mean + (std or 0) for mean, std in zip(means, deviations, strict=True)]
        axes.fill_between(rates, low, high, color=style.colour, alpha=0.16, linewidth=0)
