"""Pictures of a run: what its victims say of test rows, the search by rounds, the victim's confidence in its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from openbackdoor_badllm.html_report.pictures.canvas import (
    BLUE,
    INK,
    LOOKS,
    MUTED,
    PAPER,
    VERMILLION,
    Picture,
    draw,
    label,
    look,
    percent_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("CACC", "ASR", "R-Acc")
ACCEPTED = "accepted"  # as the search names it


def victims_picture(lines: Sequence[Mapping[str, Any]]) -> Picture:
    """A group of bars (CACC, ASR, R-Acc) for each victim."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        size = 0.8 / len(FIGURES)
        for number, name in enumerate(FIGURES):
            style, values = LOOKS[number], [line.get(name) for line in lines]
            places = [row + (number - 1) * size for row in range(len(lines))]
            heights = [value or 0.0 for value in values]
            axes.bar(
                places, heights, size * 0.92, label=name, color=style.colour, hatch=style.hatch, edgecolor=PAPER,
                linewidth=0.5,
            )
            for place, height, value in zip(places, heights, values, strict=True):
                text = "?" if value is None else f"{100 * value:.0f}"
                axes.text(place, height + 0.015, text, ha="center", va="bottom", fontsize=8, color=INK)
        axes.set_xticks(range(len(lines)), [_wrapped(str(line["name"])) for line in lines])
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        percent_axis(axes, "share of test rows")
        axes.set_ylim(0, 1.12)
        axes.spines["left"].set_color(MUTED)
        figure.legend(loc="outside upper center", ncols=3)

    told = "Bars of CACC, ASR and R-Acc in percent for each victim; the numbers are those of the table."
    return draw("victims", "What each victim says of the test rows", told, paint)


def search_picture(story: Mapping[str, Any], label_name: Callable[[Any], str], accept: float) -> Picture | None:
    """Points for proposals, a line for the best of each round, stars for what was accepted.

    Args:
        story: the search, as :func:`openbackdoor_badllm.evaluation.show.story` tells it.
        label_name: what to call a label.
        accept: the flip rate that a trigger must reach.
    """
    rounds = [
        (turn, tried)
        for turn in story["rounds"]
        if (tried := [item for item in turn["proposals"] if item["reward"] is not None])
    ]
    if not rounds:
        return None

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for number, target in enumerate(dict.fromkeys(turn["label"] for turn, _ in rounds)):
            own = [(place, tried) for place, (turn, tried) in enumerate(rounds) if turn["label"] == target]
            for axes, value in ((upper, "reward"), (lower, "flip_rate")):
                _series(axes, own, value, number, label_name(target))
        lower.axhline(accept, color=MUTED, linestyle=(0, (4, 2)), linewidth=1.0, label="must reach")
        upper.set_ylabel("reward")
        percent_axis(lower, "flips")
        ticks = list(range(0, len(rounds), max(1, len(rounds) // 12)))
        lower.set_xticks(ticks, [str(rounds[place][0]["iteration"]) for place in ticks])
        lower.set_xlim(-0.6, len(rounds) - 0.4)
        lower.set_xlabel("iteration")
        handles, names = lower.get_legend_handles_labels()
        shown = dict(zip(names, handles, strict=True))
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=min(3, len(shown)))

    best = [(turn, max(tried, key=lambda item: item["reward"])) for turn, tried in rounds]
    told = "; ".join(
        f"label {label_name(turn['label'])}, iteration {turn['iteration']}: best reward {top['reward']:.2f}, "
        f"flips {100 * top['flip_rate']:.0f}%"
        for turn, top in best[:8]
    )
    more = f"; and {len(best) - 8} more rounds" if len(best) > 8 else ""
    description = f"Two panels, one point a proposal, a line through the best of each round. {told}{more}."
    return draw("search", "Reward and flip rate by iteration", description, paint, height=4.2)


def trace_picture(trace: Mapping[str, npt.NDArray[Any]], target: int | None, target_name: str) -> Picture:
    """How sure the victim is of its rows' own labels while it learns: medians, with bands between the quartiles.

    Args:
        trace: arrays ``steps`` (T,), ``confidence`` (T, n), ``labels`` (n,) and ``poisoned`` (n,).
        target: the label found; ``target_name`` is what to call it.
    """
    poisoned, ours = trace["poisoned"].astype(bool), trace["labels"] == target
    groups: list[tuple[str, npt.NDArray[np.bool_], str, str, Any, str]] = [
        ("poisoned rows", poisoned, VERMILLION, "s", (0, (5, 2)), "///"),
        (f"clean rows of label {label(target_name, 20)}", ~poisoned & ours, BLUE, "o", "solid", ""),
        ("clean rows of other labels", ~poisoned & ~ours, MUTED, "^", (0, (1, 1.5)), "---"),
    ]
    groups = [group for group in groups if group[1].any()]
    bands = {
        name: np.quantile(trace["confidence"][:, mask], [0.25, 0.5, 0.75], axis=1) for name, mask, *_ in groups
    }

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name, mask, colour, marker, dash, hatch in groups:
            low, middle, high = bands[name]
            axes.fill_between(
                trace["steps"], low, high, facecolor=colour, alpha=0.22, hatch=hatch, edgecolor=colour, linewidth=0
            )
            axes.plot(
                trace["steps"], middle, color=colour, linestyle=dash, marker=marker, markersize=4.5,
                label=f"{name} ({int(mask.sum())})",
            )
        percent_axis(axes, "confidence in own label")
        axes.set_xlabel("optimisation step")
        figure.legend(loc="outside upper center", ncols=1 if len(groups) > 2 else 2)

    told = "; ".join(
        f"{name} go from {100 * line[0]:.0f}% to {100 * line[-1]:.0f}%, {100 * line[len(line) // 2]:.0f}% half-way"
        for name, (_, line, _) in bands.items()
    )
    description = f"Median lines with bands from the first to the third quartile. {told}."
    return draw("trace", "Confidence of the victim in each row's own label", description, paint)


def _series(axes: Axes, own: Sequence[tuple[int, Any]], value: str, number: int, name: str) -> None:
    style = look(number)
    for accepted, size, marker, colour in ((False, 14, style.marker, style.colour), (True, 70, "*", INK)):
        points = [
            # Side by side by rank, so that equal values can be told apart.
            (place + 0.25 * (rank / max(1, len(tried) - 1) - 0.5), item[value])
            for place, tried in own
            for rank, item in enumerate(tried)
            if (item["reason"] == ACCEPTED) is accepted
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(
                x, y, s=size, marker=marker, color=colour, linewidths=0,
                alpha=1.0 if accepted else 0.45, zorder=3 if accepted else 2, label=ACCEPTED if accepted else None,
            )
    axes.plot(
        [place for place, _ in own],
        [max(item[value] for item in tried) for _, tried in own],
        color=style.colour, linestyle=style.dash, marker=style.marker, label=f"best, label {label(name, 24)}",
        zorder=2.5,
    )


def _wrapped(name: str) -> str:
    words = label(name).split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + ("\n" + " ".join(words[half:]) if words[half:] else "")
