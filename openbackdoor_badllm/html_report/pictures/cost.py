"""What a defence costs against what it leaves of the attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openbackdoor_badllm.html_report.pictures.canvas import Picture, Table, draw, label, log_axis, percent_axis
from openbackdoor_badllm.html_report.pictures.records import (
    CLEAN,
    ORACLE,
    Record,
    defenders,
    file_name,
    looks,
    named,
    value,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = (("seconds", "seconds (log)"), ("LLM tokens", "LLM tokens (log)"), ("LLM money", "LLM money (log)"))


def cost_pictures(averages: Sequence[Record]) -> list[Picture]:
    """One picture for each rate, setting and victim; a panel for each cost of which something was spent."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in averages:
        if record["defender"] not in (CLEAN, ORACLE) and value(record, "ASR").mean is not None:
            groups.setdefault(tuple(str(record[key]) for key in ("rate", "setting", "victim")), []).append(record)
    names = defenders(averages)
    return [picture for key, own in groups.items() if (picture := _picture(key, own, names)) is not None]


def _picture(key: tuple[str, ...], records: Sequence[Record], names: Sequence[str]) -> Picture | None:
    costs = [(figure, name) for figure, name in COSTS if any(_spent(record, figure) for record in records)]
    if not costs:
        return None
    styles = looks(names)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)
        for axes, (cost, name) in zip(panels[0], costs, strict=True):
            for record in records:
                spent, asr, style = _spent(record, cost), value(record, "ASR"), styles[record["defender"]]
                if spent:
                    axes.errorbar(
                        [spent],
                        [asr.mean],
                        yerr=[asr.std] if asr.std else None,
                        fmt=style.marker,
                        markersize=8,
                        color=style.colour,
                        elinewidth=0.8,
                        capsize=2,
                        label=named(record["defender"]),
                    )
            log_axis(axes)
            axes.set_xlabel(name)
            percent_axis(axes, "ASR (mean over pairs)" if axes is panels[0][0] else "")
        handles, shown = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, shown, loc="outside upper center", ncols=3)

    table = Table(
        ("defender", "ASR (%)", *(figure for figure, _ in costs)),
        [
            (
                named(record["defender"]),
                value(record, "ASR").percent(),
                *(f"{spent:,.4g}" if (spent := _spent(record, figure)) else "none" for figure, _ in costs),
            )
            for record in records
        ],
    )
    rate, setting, victim = key
    return draw(
        file_name("cost", rate, setting, victim),
        f"Cost against ASR ({100 * float(rate):g}% poisoned, {label(setting)}, {label(victim)})",
        "One point a defender, means over the pairs; lower and further left is better. The numbers are in the table "
        "below.",
        paint,
        table=table,
        width=5.0 if len(costs) == 1 else 3.3 * len(costs),
        height=3.4,
    )


def _spent(record: Record, figure: str) -> float:
    return float(value(record, figure).mean or 0.0)
