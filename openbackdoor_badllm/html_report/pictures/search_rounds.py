"""The search, round by round: reward and flip rate of what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from openbackdoor_badllm.html_report.pictures.canvas import INK, MUTED, Picture, Table, draw, label, look, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCEPTED = "accepted"  # as the search names it


class Tried(NamedTuple):
    """One proposal on the search probes."""

    reward: float
    flip_rate: float
    accepted: bool


class Round(NamedTuple):
    """What was tried for one label in one iteration."""

    label: int
    iteration: int
    tried: Sequence[Tried]


def rounds_of(story: Mapping[str, Any]) -> list[Round]:
    """The rounds of a story that tried something; a reward that is no number is left out."""
    return [
        Round(turn["label"], turn["iteration"], tried)
        for turn in story["rounds"]
        if (
            tried := [
                Tried(item["reward"], item["flip_rate"], item["reason"] == ACCEPTED)
                for item in turn["proposals"]
                if item["reward"] is not None
            ]
        )
    ]


def search_picture(rounds: Sequence[Round], label_names: Mapping[int, str], accept: float) -> Picture:
    """Points for proposals, a line for the best of each round, stars for what was accepted.

    Args:
        rounds: in the order of the search; not empty.
        label_names: what to call each label.
        accept: the flip rate that a trigger must reach.
    """
    labels = list(dict.fromkeys(turn.label for turn in rounds))

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for number, target in enumerate(labels):
            own = [(place, turn) for place, turn in enumerate(rounds) if turn.label == target]
            for axes, value in ((upper, "reward"), (lower, "flip_rate")):
                _series(axes, own, value, number, label_names.get(target, str(target)))
        lower.axhline(accept, color=MUTED, linestyle=(0, (4, 2)), linewidth=1.0)
        lower.annotate(
            "must reach",
            (1, accept),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="top",
            fontsize=8,
            color=MUTED,
            xytext=(0, -2),
            textcoords="offset points",
        )
        upper.set_ylabel("reward")
        percent_axis(lower, "flips")
        ticks = list(range(0, len(rounds), max(1, len(rounds) // 12)))
        lower.set_xticks(ticks, [str(rounds[place].iteration) for place in ticks])
        lower.set_xlim(-0.6, len(rounds) - 0.4)
        lower.set_xlabel("iteration")
        handles, names = lower.get_legend_handles_labels()
        shown = dict(sorted(zip(names, handles, strict=True), key=lambda item: item[0] == ACCEPTED))  # last
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=min(3, len(shown)))

    best = [(turn, max(turn.tried)) for turn in rounds]
    table = Table(
        ("label", "iteration", "tried", "accepted", "best reward", "its flip rate"),
        [
            (
                label(label_names.get(turn.label, turn.label)),
                str(turn.iteration),
                str(len(turn.tried)),
                str(sum(tried.accepted for tried in turn.tried)),
                f"{top.reward:.3f}",
                f"{100 * top.flip_rate:.0f}%",
            )
            for turn, top in best
        ],
    )
    told = "; ".join(
        f"label {label_names.get(turn.label, turn.label)}, iteration {turn.iteration}: best reward {top.reward:.2f}, "
        f"flips {100 * top.flip_rate:.0f}%"
        for turn, top in best[:8]
    )
    more = f"; and {len(best) - 8} more rounds" if len(best) > 8 else ""
    return draw(
        "search",
        "Reward and flip rate by iteration",
        f"Two panels, one point a proposal, a line through the best of each round. {told}{more}.",
        paint,
        table=table,
        height=4.2,
    )


def _series(axes: Axes, own: Sequence[tuple[int, Round]], value: str, number: int, name: str) -> None:
    style = look(number)
    for accepted, size, marker, colour in ((False, 14, style.marker, style.colour), (True, 70, "*", INK)):
        points = [
            # Side by side by rank, so that equal values can be told apart.
            (place + 0.25 * (rank / max(1, len(turn.tried) - 1) - 0.5), getattr(tried, value))
            for place, turn in own
            for rank, tried in enumerate(turn.tried)
            if tried.accepted is accepted
        ]
        if points:
            axes.scatter(
                [x for x, _ in points],
                [y for _, y in points],
                s=size,
                marker=marker,
                color=colour,
                alpha=1.0 if accepted else 0.45,
                linewidths=0,
                zorder=3 if accepted else 2,
                label=ACCEPTED if accepted else None,
            )
    axes.plot(
        [place for place, _ in own],
        [max(getattr(tried, value) for tried in turn.tried) for _, turn in own],
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        label=f"best, label {label(name, 24)}",
        zorder=2.5,
    )
