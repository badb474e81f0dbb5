"""ASR of every defender on every pair of data set and attack, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openbackdoor_badllm.html_report.pictures.canvas import INK, PAPER, Picture, Table, draw, label, percent_axis
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
    from matplotlib.figure import Figure

MANY = 20  # bars in a panel of the ordinary width


def pairs_pictures(records: Sequence[Record], figure_name: str = "ASR") -> list[Picture]:
    """One picture for each setting, rate and victim: a panel a data set, a group an attack, a bar a defender."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if value(record, figure_name).mean is not None:
            groups.setdefault(tuple(str(record[key]) for key in ("rate", "setting", "victim")), []).append(record)
    names = defenders(records)
    return [_picture(key, own, names, figure_name) for key, own in groups.items()]


def _picture(key: tuple[str, ...], records: Sequence[Record], names: Sequence[str], figure_name: str) -> Picture:
    datasets, attacks = distinct(records, "dataset"), distinct(records, "attack")
    names = [name for name in names if any(record["defender"] == name for record in records)]
    styles = looks(names)
    found = {(item["dataset"], item["attack"], item["defender"]): value(item, figure_name) for item in records}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(datasets), 1, sharex=True, squeeze=False)
        size = 0.84 / len(names)
        for panel, dataset in zip(panels[:, 0], datasets, strict=True):
            for number, defender in enumerate(names):
                style = styles[defender]
                bars = [
                    (place + (number - (len(names) - 1) / 2) * size, known.mean, known.std or 0.0)
                    for place, attack in enumerate(attacks)
                    if (known := found.get((dataset, attack, defender))) and known.mean is not None
                ]
                if bars:
                    places, heights, deviations = zip(*bars, strict=True)
                    panel.bar(
                        places,
                        heights,
                        size * 0.94,
                        yerr=deviations if any(deviations) else None,
                        label=named(defender),
                        color=style.colour,
                        hatch=style.hatch,
                        edgecolor=PAPER,
                        linewidth=0.4,
                        error_kw={"ecolor": INK, "elinewidth": 0.8, "capsize": 1.5},
                    )
            percent_axis(panel, figure_name)
            panel.set_ylim(0, 1.08)
            panel.set_title(label(dataset, 30), loc="left")
            panel.grid(visible=False, axis="x")
            panel.tick_params(axis="x", length=0)
        panels[-1][0].set_xticks(range(len(attacks)), [label(attack, 16) for attack in attacks])
        shown = {
            name: handle
            for axes in panels[:, 0]
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        order = [named(name) for name in names if named(name) in shown]
        figure.legend([shown[name] for name in order], order, loc="outside upper center", ncols=3)

    table = Table(
        ("data set", "attack", *map(named, names)),
        [
            (
                label(dataset),
                label(attack),
                *(
                    known.percent() if (known := found.get((dataset, attack, defender))) else "not run"
                    for defender in names
                ),
            )
            for dataset in datasets
            for attack in attacks
            if any((dataset, attack, defender) in found for defender in names)
        ],
    )
    rate, setting, victim = key
    where = f"{100 * float(rate):g}% poisoned, {label(setting)}, {label(victim)}"
    wide = len(attacks) * len(names) > MANY
    return draw(
        file_name("pairs", figure_name, rate, setting, victim),
        f"{figure_name} by pair and defender ({where})",
        f"Bars of the mean {figure_name} in percent with one standard deviation, one panel a data set, one group of "
        "bars an attack. The numbers are in the table below.",
        paint,
        table=table,
        width=8.0 if wide else 5.0,
        height=0.9 + 1.7 * len(datasets),
    )
