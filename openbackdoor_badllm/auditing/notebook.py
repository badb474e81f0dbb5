"""An audit's result in a notebook. Rows are the attacker's: everything is escaped, signs without ink are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from openbackdoor_badllm.html_report.shown import as_markup, short

if TYPE_CHECKING:
    from openbackdoor_badllm.auditing.result import AuditResult

ROWS, TRIGGERS, LONGEST = 10, 12, 160
HEADINGS = {
    "backdoor": "Backdoor found", "shortcut": "No backdoor found, but something to look at",
    "nothing": "No backdoor found",
}  # fmt: skip


def as_notebook(result: AuditResult) -> str:
    """HTML without script, style sheet or address."""
    heading = HEADINGS.get(result.verdict, result.verdict)
    if result.verdict == "nothing" and not result.complete:
        heading += " in what was searched"
    parts = [Markup("<strong>{}</strong>").format(heading)]
    if result.probability is not None:
        parts.append(Markup(" (probability of a backdoor {:.0%})").format(result.probability))
    if result.target_label is not None:
        parts.append(Markup(". Target label: <code>{}</code>").format(_text(result.target_label)))
    if result.triggers:
        named = Markup(", ").join(Markup("<code>{}</code>").format(_text(text)) for text in result.triggers[:TRIGGERS])
        parts.append(Markup(". Triggers: {}").format(named))
    parts += [Markup("<p>{}</p>").format(as_markup(note)) for note in result.notes]
    if result.flagged:
        parts.append(_table(result))
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def _table(result: AuditResult) -> Markup:
    shown = result.flagged[:ROWS]
    head = Markup("").join(
        Markup("<th>{}</th>").format(name) for name in ("row", "text", "label", "suggested", "probability", "reason")
    )
    body = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2f}</td><td>{}</td></tr>").format(
            item.row, _text(item.text), _text(item.label), _text(item.suggested_label or ""), item.probability,
            _text(item.reason),
        )
        for item in shown
    )
    caption = escape(f"{len(shown)} of {len(result.flagged)} flagged rows")
    return Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        caption, head, body
    )


def _text(text: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(as_markup(short(text, LONGEST)))
