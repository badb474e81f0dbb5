"""How sure the victim is of each row's own label while it learns: what stage (a) of the method looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.html_report.pictures.canvas import (
    BLUE,
    MUTED,
    VERMILLION,
    Picture,
    Table,
    draw,
    label,
    percent_axis,
)
from openbackdoor_badllm.html_report.run_source import VictimTrace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mask = npt.NDArray[np.bool_]


def trace_picture(trace: VictimTrace, target: int | None, target_name: str) -> Picture:
    """Medians with bands from the first to the third quartile: poisoned rows, clean ones of the label, other ones."""
    clean = ~trace.poisoned
    groups: list[tuple[str, Mask, str, str, Any, str]] = [
        ("poisoned rows", trace.poisoned, VERMILLION, "s", (0, (5, 2)), "///"),
        (f"clean rows of label {label(target_name, 20)}", clean & (trace.labels == target), BLUE, "o", "solid", ""),
        ("clean rows of other labels", clean & (trace.labels != target), MUTED, "^", (0, (1, 1.5)), "---"),
    ]
    groups = [group for group in groups if group[1].any()]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name, mask, colour, marker, dash, hatch in groups:
            low, middle, high = np.quantile(trace.confidence[:, mask], [0.25, 0.5, 0.75], axis=1)
            axes.fill_between(
                trace.steps, low, high, facecolor=colour, alpha=0.22, hatch=hatch, edgecolor=colour, linewidth=0
            )
            axes.plot(
                trace.steps,
                middle,
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=4.5,
                label=f"{name} ({int(mask.sum())})",
            )
        percent_axis(axes, "confidence in own label")
        axes.set_xlabel("optimisation step")
        figure.legend(loc="outside upper center", ncols=1 if len(groups) > 2 else 2)

    chosen = sorted({0, len(trace.steps) // 4, len(trace.steps) // 2, len(trace.steps) - 1})
    medians = {name: np.median(trace.confidence[:, mask], axis=1) for name, mask, *_ in groups}
    table = Table(
        ("rows", "count", *(f"median at step {trace.steps[place]}" for place in chosen)),
        [
            (name, str(int(mask.sum())), *(f"{100 * medians[name][place]:.0f}%" for place in chosen))
            for name, mask, *_ in groups
        ],
    )
    told = "; ".join(
        f"{name} go from {100 * line[0]:.0f}% to {100 * line[-1]:.0f}%, {100 * line[len(line) // 2]:.0f}% half-way"
        for name, line in medians.items()
    )
    return draw(
        "trace",
        "Confidence of the victim in each row's own label",
        f"Median lines with bands from the first to the third quartile. {told}.",
        paint,
        table=table,
    )
