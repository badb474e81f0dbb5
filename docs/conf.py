"""Sphinx configuration of the documentation. `make docs` builds pages that work from a folder without a network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

import openbackdoor_badllm

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "openbackdoor-badllm"
author = "The openbackdoor_badllm developers"
version = release = openbackdoor_badllm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # excerpts of JSON, and output of commands
highlight_language = "none"

add_module_names = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it is fetched page by page, which browsers refuse for files
html_math_renderer = "mathml"


def setup(app: Sphinx) -> None:
    """Formulas become MathML, which browsers show by themselves; MathJax would come from a server. Links are mended."""

    def inline(writer: Any, node: nodes.math) -> None:
        writer.body.append(convert(node.astext()))
        raise nodes.SkipNode

    def block(writer: Any, node: nodes.math_block) -> None:
        writer.body.append(convert(node.astext(), display="block"))
        raise nodes.SkipNode

    def read(app: Sphinx, name: str, text: list[str]) -> None:
        text[0] = re.sub(r"\]\((\.\./[^)]*\.md)", r"](path:\1", text[0])  # a page outside docs is a file to Sphinx

    app.connect("source-read", read)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
