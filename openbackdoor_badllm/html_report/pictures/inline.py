"""Makes matplotlib's SVG fit to stand inside a page: no styles of its own, no links, no names that clash.

Only elements and attributes on a list pass, so what a page takes in is known whatever matplotlib writes. Style
declarations become attributes, because the page's policy forbids inline styles; colours become variables, so that the
dark page has its own.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup, escape

from openbackdoor_badllm.html_report.pictures import canvas
from openbackdoor_badllm.html_report.pictures.canvas import Picture
from openbackdoor_badllm.html_report.shown import as_markup

_ELEMENTS = frozenset({"svg", "g", "path", "text", "tspan", "defs", "clipPath", "rect", "use", "pattern", "circle"})
# fmt: off
_ATTRIBUTES = frozenset({
    "d", "x", "y", "width", "height", "transform", "viewBox", "clip-path", "clip-rule", "fill", "fill-opacity",
    "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-dashoffset", "stroke-linejoin",
    "stroke-linecap", "stroke-miterlimit", "opacity", "font-size", "font-weight", "font-style", "text-anchor",
    "patternUnits", "cx", "cy", "r",
})
# fmt: on
_VARIABLES = {
    canvas.INK: "currentColor",
    canvas.MUTED: "var(--muted)",
    canvas.GRID: "var(--line)",
    canvas.PAPER: "var(--paper)",
    canvas.BLUE: "var(--blue)",
    canvas.VERMILLION: "var(--vermillion)",
    canvas.GREEN: "var(--green)",
    canvas.PURPLE: "var(--purple)",
    canvas.ORANGE: "var(--orange)",
    canvas.SKY: "var(--sky)",
}
SCALE = 1.4  # of the letters: 10 points become 14 pixels where there is room
_REFERENCE = re.compile(r"#([\w-]+)")


def inline(picture: Picture) -> Markup:
    """The picture as an ``<svg>`` element with a title and a description for screen readers."""
    root = ElementTree.fromstring(picture.svg)
    used = set(_REFERENCE.findall(" ".join(_links(root))))
    head = Markup(
        '<svg class="picture" width="{:.0f}" viewBox="{}" role="img" aria-labelledby="{}-t {}-d" '
        'stroke-linejoin="round">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>'
    ).format(
        SCALE * 72 * picture.width,
        root.get("viewBox"),
        picture.name,
        picture.name,
        picture.name,
        as_markup(picture.title),
        picture.name,
        as_markup(picture.description),
    )
    return head + Markup("").join(_element(child, picture.name, used) for child in root) + Markup("</svg>")


def _links(root: ElementTree.Element) -> list[str]:
    """Every value that may point at an id; colours look alike and do no harm here."""
    return [value for element in root.iter() for value in element.attrib.values() if "#" in value]


def _element(element: ElementTree.Element, name: str, used: set[str]) -> Markup:
    tag = element.tag.rpartition("}")[2]
    if tag not in _ELEMENTS:
        return Markup("")
    given = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    for declaration in given.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        given.setdefault(key.strip(), value.strip())
    kept = [(key, _value(key, value, name)) for key, value in given.items() if key in _ATTRIBUTES]
    if given.get("id") in used:
        kept.append(("id", f"{name}-{given['id']}"))
    if tag == "use" and given.get("href", "").startswith("#"):
        kept.append(("href", f"#{name}-{given['href'][1:]}"))
    opening = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in kept)
    inside = escape((element.text or "") if tag in ("text", "tspan") else "")
    inside += Markup("").join(_element(child, name, used) for child in element)
    if tag == "g" and not inside:
        return Markup("")
    return Markup("<{}{}>{}</{}>").format(Markup(tag), opening, inside, Markup(tag))


def _value(key: str, value: str, name: str) -> str:
    if key == "d":
        return _rounded(" ".join(value.split()))
    if "url(" in value:
        return re.sub(r"url\(#([\w-]+)\)", rf"url(#{name}-\1)", value)
    return _VARIABLES.get(value.lower(), value)


def _rounded(path: str) -> str:
    """Hundredths of a point are enough, and halve the page."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path)
