"""What an audit says of a shortcut: something that moves the victim, and that honest rows may well share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 60  # characters of a pattern


def shortcut_sentences(results: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """A sentence for each shortcut of a report, as plain text: what stands in it comes from the rows.

    Args:
        results: of the run, for the class names.
        report: the part ``report`` of it.
    """
    names = results.get("label_names") or []
    sentences = []
    for search in report.get("labels_searched", ()):
        label = names[search["label"]] if search["label"] < len(names) else search["label"]
        for found in search.get("shortcuts", ()):
            text = found["text"] if len(found["text"]) <= LONGEST else found["text"][: LONGEST - 1] + "…"
            sentences.append(
                f"'{text}' stands in {found['target_rows']} rows of label '{label}', in {found['other_rows']} others, "
                f"and turns {found['report']['flip_rate']:.0%} of other texts into that label. The rows' texts fit "
                "their label, so it is more likely the mark of a source than an attack."
            )
    return sentences
