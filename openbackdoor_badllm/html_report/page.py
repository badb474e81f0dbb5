"""Templates into one HTML file that needs nothing from elsewhere and runs nothing.

Three things keep an attacker's text a text: hidden signs are named (:mod:`.shown`), everything is escaped by the
template engine, and the page's own policy (Content-Security-Policy) allows no script, no request and no style but the
one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import openbackdoor_badllm
from openbackdoor_badllm.html_report.pictures.canvas import NOT_DRAWN, Picture
from openbackdoor_badllm.html_report.shown import Difference, as_markup, short, visible

_PACKAGE = "openbackdoor_badllm.html_report"
_LONGEST, _LONGEST_NAME = 2000, 200  # characters of a text and of an attribute, wherever they come from
SCALE = 1.4  # of a picture's letters: 10 points become 14 pixels where there is room


def render(template: str, **values: Any) -> str:
    """A page from one of the templates."""
    style = (resources.files(_PACKAGE) / "templates" / "page.css.txt").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = (
        _environment()
        .get_template(template)
        .render(style=Markup(style), style_hash=f"sha256-{digest}", version=openbackdoor_badllm.__version__, **values)
    )
    # A browser reads every line end as \n before it hashes the style.
    return page.replace("\r\n", "\n").replace("\r", "\n")


def percent(share: Any, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f}%" if isinstance(share, int | float) else "not measured"


def relative(target: Path, page: Path) -> str:
    """A link from the page to a file, safe as an address: it begins with a dot, so that no scheme can stand in it."""
    try:
        path = os.path.relpath(target.resolve(), page.resolve().parent)
    except ValueError:  # another drive on Windows
        return target.resolve().as_uri()
    address = quote(path.replace(os.sep, "/"), safe="/")
    return address if address.startswith("../") else f"./{address}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        shown=_shown, block=_block, marked=_marked, visible=_name, short=short, percent=percent
    )
    environment.globals.update(picture=_picture, not_drawn=NOT_DRAWN, bar=_bar)
    return environment


def _shown(text: object) -> Markup:
    """A text of unknown origin inside a line: escaped, hidden signs named, its direction kept to itself."""
    return Markup('<bdi class="t">{}</bdi>').format(as_markup(short(str(text), _LONGEST)))


def _name(text: object) -> str:
    """A text of unknown origin for a title or an attribute."""
    return visible(short(str(text), _LONGEST_NAME))


def _block(text: object) -> Markup:
    """A text of unknown origin as a block whose line ends stay."""
    return Markup('<pre class="talk" tabindex="0" dir="auto">{}</pre>').format(as_markup(text, keep="\n"))


def _marked(parts: Difference) -> Markup:
    """A text of unknown origin with the part marked that another text has not."""
    middle = Markup("<mark>{}</mark>").format(as_markup(parts.middle)) if parts.middle else Markup("")
    return Markup('<bdi class="t">{}{}{}</bdi>').format(as_markup(parts.before), middle, as_markup(parts.after))


def _bar(share: float | None) -> Markup:
    """A share as a small bar; the number stands beside it, so that it is hidden from screen readers."""
    width = 0.0 if share is None else max(0.0, min(1.0, float(share)))
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="rail" width="100" height="10"></rect><rect class="fill" width="{:.1f}" height="10"></rect></svg>'
    ).format(100 * width)


def _picture(picture: Picture) -> Markup:
    """A picture inside the page: as an image, in which an SVG runs no script and loads nothing."""
    data = base64.b64encode(picture.svg).decode()
    return Markup('<img class="picture" src="data:image/svg+xml;base64,{}" width="{:.0f}" alt="{}">').format(
        data, SCALE * 72 * picture.width, _name(picture.description)
    )
