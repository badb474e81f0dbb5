"""A table as plain values, and as Markdown and LaTeX; texts of rows and of language models are made harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from openbackdoor_badllm.evaluation.console import printable


class Part(NamedTuple):
    """A figure in a cell, and its place among the defenders compared: 1 the best, 2 the second, 0 none."""

    text: str
    place: int = 0


class Row(NamedTuple):
    """A row; ``theirs``: numbers of the paper, ``ours``: of our defender."""

    head: str
    cells: Sequence[Sequence[Part]]
    theirs: bool = False
    ours: bool = False


class Table(NamedTuple):
    """A table; the first column heads the rows."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Format:
    """How a format writes things."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    underline: Callable[[str], str]
    italic: Callable[[str], str]
    lay_out: Callable[[Sequence[str], Sequence[Sequence[str]]], str]

    def table(self, table: Table) -> str:
        """The table without title and caption."""
        rows = [
            [self._italic_if(row.theirs, text) for text in (self.escape(row.head), *map(self._cell, row.cells))]
            for row in table.rows
        ]
        return self.lay_out([self.escape(name) for name in table.header], rows)

    def _cell(self, parts: Sequence[Part]) -> str:
        return " / ".join(self._part(part) for part in parts)

    def _part(self, part: Part) -> str:
        text = self.escape(part.text)
        return self.bold(text) if part.place == 1 else self.underline(text) if part.place == 2 else text

    def _italic_if(self, wanted: bool, text: str) -> str:
        return self.italic(text) if wanted and text else text


def _escape_markdown(text: str) -> str:
    """No table, no markup, no line of its own."""
    plain = printable(text)
    for char in ("\\", "|", "`", "*", "_", "[", "]"):
        plain = plain.replace(char, "\\" + char)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_LATEX_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    **{char: "\\" + char for char in "&%$#_{}"},
}  # fmt: skip


def _escape_latex(text: str) -> str:
    return "".join(_LATEX_SIGNS.get(char, char if char.isprintable() else "?") for char in text)


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [rf"\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}", r"\toprule"]
    lines += [" & ".join(header) + r" \\", r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


MARKDOWN = Format(
    _escape_markdown,
    bold=lambda text: f"**{text}**",
    underline=lambda text: f"<u>{text}</u>",
    italic=lambda text: f"*{text}*",
    lay_out=_markdown_table,
)
LATEX = Format(
    _escape_latex,
    bold=lambda text: rf"\textbf{{{text}}}",
    underline=lambda text: rf"\underline{{{text}}}",
    italic=lambda text: rf"\textit{{{text}}}",
    lay_out=_latex_table,
)
