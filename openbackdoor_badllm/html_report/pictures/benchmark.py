"""Pictures of a benchmark: ASR by pair, robustness over poison rates, cost against ASR.

Their numbers are in the tables of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openbackdoor_badllm.benchmark.records import (
    CLEAN,
    NONE,
    ORACLE,
    Record,
    defenders_of,
    deviation_of,
    grouped,
    mean_of,
)
from openbackdoor_badllm.html_report.pictures.canvas import (
    FLOOR_LOOK,
    INK,
    PAPER,
    UNDEFENDED_LOOK,
    Look,
    Picture,
    draw,
    label,
    log_axis,
    look,
    percent_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 20  # bars in a panel of the ordinary width
COSTS = (("seconds", "seconds (log)"), ("LLM tokens", "LLM tokens (log)"), ("LLM money", "LLM money (log)"))
NAMES = {NONE: "no defence", ORACLE: "oracle filter", CLEAN: "clean rows (floor)"}


def benchmark_pictures(records: Sequence[Record], averages: Sequence[Record]) -> list[Picture]:
    """All that can be drawn of the finished cells."""
    names = defenders_of(records)
    free = [name for name in names if name not in NAMES]
    looks = {name: look(number) for number, name in enumerate(free)}
    looks.update({NONE: UNDEFENDED_LOOK, CLEAN: FLOOR_LOOK, ORACLE: look(len(free))})
    measured = [record for record in records if mean_of(record, "ASR") is not None]
    defended = [item for item in averages if item["defender"] not in (CLEAN, ORACLE) and item["figures"].get("ASR")]
    pairs = [_pairs(key, own, looks) for key, own in grouped(measured, "rate", "setting", "victim").items()]
    over_rates = [
        _robustness(key, own, looks)
        for key, own in grouped(measured, "dataset", "setting", "victim").items()
        if len({record["rate"] for record in own}) > 1
    ]
    costs = [_cost(key, own, looks) for key, own in grouped(defended, "rate", "setting", "victim").items()]
    return [*pairs, *over_rates, *(picture for picture in costs if picture is not None)]


def _pairs(key: Sequence[Any], records: Sequence[Record], looks: dict[str, Look]) -> Picture:
    """A panel a data set, a group an attack, a bar a defender."""
    datasets, attacks = _distinct(records, "dataset"), _distinct(records, "attack")
    names = defenders_of(records)
    size = 0.84 / len(names)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(datasets), 1, sharex=True, squeeze=False)[:, 0]
        handles = {}
        for panel, dataset in zip(panels, datasets, strict=True):
            for number, defender in enumerate(names):
                own = [item for item in records if (item["dataset"], item["defender"]) == (dataset, defender)]
                offset = (number - (len(names) - 1) / 2) * size
                deviations = [deviation_of(item, "ASR") or 0.0 for item in own]
                handles[defender] = panel.bar(
                    [attacks.index(item["attack"]) + offset for item in own],
                    [mean_of(item, "ASR") for item in own],
                    size * 0.94,
                    yerr=deviations if any(deviations) else None,
                    color=looks[defender].colour,
                    hatch=looks[defender].hatch,
                    edgecolor=PAPER,
                    linewidth=0.4,
                    error_kw={"ecolor": INK, "elinewidth": 0.8, "capsize": 1.5},
                )
            percent_axis(panel, "ASR")
            panel.set_ylim(0, 1.08)
            panel.set_title(label(dataset, 30), loc="left")
            panel.grid(visible=False, axis="x")
            panel.tick_params(axis="x", length=0)
        panels[-1].set_xticks(range(len(attacks)), [label(attack, 16) for attack in attacks])
        figure.legend(handles.values(), map(_named, handles), loc="outside upper center", ncols=3)

    return draw(
        f"pairs-asr-{_joined(key)}",
        f"ASR by pair and defender ({_where(key)})",
        "Bars of the mean ASR in percent with one standard deviation, one panel a data set, one group of bars an "
        "attack.",
        paint,
        width=8.0 if len(attacks) * len(names) > MANY else 5.0,
        height=0.9 + 1.7 * len(datasets),
    )


def _robustness(key: Sequence[Any], records: Sequence[Record], looks: dict[str, Look]) -> Picture:
    """The paper's robustness figure: one column an attack, one line a defender, CACC above ASR."""
    attacks, names = _distinct(records, "attack"), defenders_of(records)
    accuracies = [mean - (deviation_of(item, "CACC") or 0) for item in records if (mean := mean_of(item, "CACC"))]
    lowest = {"CACC": min(accuracies, default=0.0), "ASR": 0.0}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(2, len(attacks), sharex=True, sharey="row", squeeze=False)
        for column, attack in enumerate(attacks):
            for row, name in enumerate(lowest):
                for defender in names:
                    own = [item for item in records if (item["attack"], item["defender"]) == (attack, defender)]
                    _line(panels[row][column], own, name, looks[defender], defender)
                percent_axis(panels[row][column], name if column == 0 else "", lowest=lowest[name])
            panels[0][column].set_title(label(attack, 20))
            panels[-1][column].set_xlabel("poison rate (%)")
        handles, shown = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, shown, loc="outside upper center", ncols=2 if len(attacks) < 2 else 4)

    dataset, setting, victim = key
    return draw(
        f"robustness-{_joined(key)}",
        f"Robustness to the poison rate: {label(dataset)} ({label(setting)}, {label(victim)})",
        "Lines of the mean over seeds with a band of one standard deviation; accuracy on clean test rows above, "
        f"attack success rate below; one column for each of {', '.join(map(label, attacks))}.",
        paint,
        width=max(5.0, 2.3 * len(attacks) + 0.6),
        height=4.8,
    )


def _line(axes: Axes, records: Sequence[Record], figure: str, style: Look, defender: str) -> None:
    points = sorted(
        (100 * float(item["rate"]), mean, deviation_of(item, figure) or 0.0)
        for item in records
        if (mean := mean_of(item, figure)) is not None
    )
    if not points:
        return
    rates, means, deviations = zip(*points, strict=True)
    axes.plot(
        rates, means, color=style.colour, marker=style.marker, linestyle=style.dash, markersize=5,
        label=_named(defender),
    )
    if any(deviations):
        low = [mean - deviation for _, mean, deviation in points]
        high = [mean + deviation for _, mean, deviation in points]
        axes.fill_between(rates, low, high, color=style.colour, alpha=0.16, linewidth=0)


def _cost(key: Sequence[Any], averages: Sequence[Record], looks: dict[str, Look]) -> Picture | None:
    """A panel for each cost of which something was spent, a point a defender; None where nothing was spent."""
    costs = [(figure, name) for figure, name in COSTS if any(mean_of(item, figure) for item in averages)]
    if not costs:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, (cost, name) in zip(panels, costs, strict=True):
            for item in averages:
                spent, style = mean_of(item, cost), looks[item["defender"]]
                if spent:
                    axes.errorbar(
                        [spent], [mean_of(item, "ASR")], yerr=deviation_of(item, "ASR"), fmt=style.marker,
                        markersize=8, color=style.colour, elinewidth=0.8, capsize=2, label=_named(item["defender"]),
                    )
            log_axis(axes)
            axes.set_xlabel(name)
            percent_axis(axes, "ASR (mean over pairs)" if axes is panels[0] else "")
        handles, shown = panels[0].get_legend_handles_labels()
        figure.legend(handles, shown, loc="outside upper center", ncols=3)

    return draw(
        f"cost-{_joined(key)}",
        f"Cost against ASR ({_where(key)})",
        "One point a defender, means over the pairs; lower and further left is better.",
        paint,
        width=5.0 if len(costs) == 1 else 3.3 * len(costs),
        height=3.4,
    )


def _distinct(records: Sequence[Record], key: str) -> list[str]:
    return list(dict.fromkeys(record[key] for record in records))


def _named(defender: str) -> str:
    return NAMES.get(defender) or label(defender)


def _joined(key: Sequence[Any]) -> str:
    return "-".join(map(str, key))


def _where(key: Sequence[Any]) -> str:
    rate, setting, victim = key
    return f"{100 * float(rate):g}% poisoned, {label(setting)}, {label(victim)}"
