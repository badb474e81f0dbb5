"""The style of all pictures, and how a figure becomes SVG and PNG. Nothing of pyplot, which keeps global state."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openbackdoor_badllm.html_report.shown import short, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1b1b", "#555b61", "#d4d8dc", "#ffffff"
# Okabe and Ito (2008), the ones with the most contrast to white first; yellow is left out, as it has none.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
WIDTH, HEIGHT = 5.0, 3.2  # inches; 10-point letters stay readable when a phone shrinks this
WIDE = 5.6
DPI = 200
NOT_DRAWN = "matplotlib is not installed: run  pip install 'openbackdoor-badllm[report]'"


@dataclass(frozen=True)
class Look:
    """How one series is drawn: colour, and the same once more without colour."""

    colour: str
    marker: str
    dash: Any
    hatch: str


LOOKS = (
    Look(BLUE, "o", "solid", ""),
    Look(VERMILLION, "s", (0, (5, 2)), "///"),
    Look(GREEN, "^", (0, (1, 1.5)), "---"),
    Look(PURPLE, "D", (0, (5, 1.5, 1, 1.5)), "\\\\\\"),
    Look(ORANGE, "v", (0, (8, 2, 2, 2)), "xxx"),
    Look(SKY, "P", (0, (3, 1, 1, 1, 1, 1)), "+++"),
)  # hatches of straight lines: dots and circles are curves, and make a picture four times as large
UNDEFENDED_LOOK = Look(INK, "X", (0, (2, 2)), "")
FLOOR_LOOK = Look(MUTED, "*", (0, (1, 3)), "||||")


@dataclass(frozen=True)
class Picture:
    """A finished picture, or without matplotlib its description alone.

    Attributes:
        name: a file name without its end, from ``[a-z0-9-]``.
        title: what it shows, in a few words.
        description: what can be seen in it, in a sentence or two; the text alternative.
        svg, png: the files; empty without matplotlib.
        width: in inches.
    """

    name: str
    title: str
    description: str
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)
    width: float = WIDTH

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of a page."""
        return self.width > WIDE


def look(number: int) -> Look:
    """The look of the n-th series; after all of them the markers start again in another colour."""
    first = LOOKS[number % len(LOOKS)]
    if number < len(LOOKS):
        return first
    other = LOOKS[(number + number // len(LOOKS)) % len(LOOKS)]
    return Look(first.colour, other.marker, other.dash, other.hatch + first.hatch)


def label(text: object, limit: int = 40) -> str:
    """A text of unknown origin as a label: one line, nothing hidden, short. Dollar signs are no formula here."""
    return short(visible(str(text)), limit)


def draw(
    name: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
) -> Picture:
    """Makes a figure, has it painted, and writes it twice; the same bytes every time.

    Without matplotlib nothing is painted. Of ``name`` only letters, digits and hyphens are kept.
    """
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "picture"
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return Picture(name, title, description, b"", b"", width)
    with _style(name):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        with warnings.catch_warnings():
            # A row's letters may be in no font of this machine; in the SVG the reader's browser finds one.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
            figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, title, description, svg.getvalue(), png.getvalue(), width)


def percent_axis(axes: Axes, name: str, lowest: float = 0.0) -> None:
    """A vertical axis for shares, up to 100 %; from 0, unless all that is shown lies far above."""
    axes.set_ylabel(name)
    start = 0.8 if lowest > 0.82 else 0.6 if lowest > 0.62 else 0.0
    axes.set_ylim(start - 0.03 * (1 - start), 1 + 0.05 * (1 - start))
    ticks = [start + (1 - start) * part / 4 for part in range(5)]
    axes.set_yticks(ticks, [f"{100 * tick:.0f}{'%' if tick == ticks[-1] else ''}" for tick in ticks])


def log_axis(axes: Axes) -> None:
    """A horizontal logarithmic axis with plain numbers: matplotlib would write them as formulas."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


@contextmanager
def _style(salt: str) -> Iterator[None]:
    from matplotlib import style

    # From the defaults, not from the user's matplotlibrc: with text.usetex there, a row's text would be run by LaTeX.
    ours = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": f"badllmtg/{salt}",
        "font.size": 10.0,
        "axes.titlesize": 10.0,
        "legend.fontsize": 9.0,
        "legend.frameon": False,
        "hatch.linewidth": 0.7,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "lines.linewidth": 1.8,
        "lines.markersize": 6.0,
    }
    with style.context(["default", ours]):
        yield
