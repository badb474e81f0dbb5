"""An audit as SARIF 2.1.0: one result for each flagged row, with the taxa of MITRE ATLAS and of OWASP's LLM list.

Code scanning services read it. Texts are the attacker's: messages hold the trigger, shortened and with the marks of
SARIF's message strings escaped, and never a row's whole text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openbackdoor_badllm
from openbackdoor_badllm.evaluation.audit_notes import RAW_TEXT
from openbackdoor_badllm.evaluation.console import printable
from openbackdoor_badllm.evaluation.finding_files import FlaggedRecord
from openbackdoor_badllm.evaluation.shortcut_text import shortcut_sentences

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST = 5000  # GitHub shows so many results of a run, and refuses more than 25,000
LONGEST = 400
RULE = "BADLLM001"
ATLAS, OWASP = "AML.T0020", "LLM04:2025"
_TAXA = (
    ("MITRE ATLAS", "MITRE", "https://atlas.mitre.org/", ATLAS, "Poison Training Data"),
    ("OWASP Top 10 for LLM Applications", "OWASP", "https://genai.owasp.org/llm-top-10/", OWASP,
     "Data and Model Poisoning"),
)  # fmt: skip


def as_sarif(results: Mapping[str, Any], flagged: Sequence[FlaggedRecord]) -> dict[str, Any]:
    """The SARIF log of one audit.

    Args:
        results: of the audit.
        flagged: its flagged rows; the likeliest ones are told where there are more than :data:`MOST`.
    """
    level = "error" if results["verdict"] == "backdoor" else "warning"
    chosen = sorted(flagged, key=lambda item: (-item.probability, item.row))[:MOST]
    told = [_result(item, level) for item in sorted(chosen, key=lambda item: item.row)]
    if not told and results["verdict"] != "nothing":  # a rewriting trigger names no rows
        told = [{"ruleId": RULE, "ruleIndex": 0, "level": level, "message": {"text": _verdict(results)}}]
    notes = list(results["notes"])
    if len(chosen) < len(flagged):
        notes.append(f"{len(chosen)} of {len(flagged)} flagged rows are told here.")
    run: dict[str, Any] = {
        "tool": {"driver": _driver(level)},
        "taxonomies": [
            {
                "name": name, "organization": by, "informationUri": address,
                "shortDescription": {"text": name},
                "taxa": [{"id": taxon, "name": title, "shortDescription": {"text": title}}],
            }
            for name, by, address, taxon, title in _TAXA
        ],
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": _message(note)}} for note in notes
                ],
            }
        ],
        "results": told,
        "properties": {
            "verdict": results["verdict"], "complete": results["complete"],
            "rows": results["rows"],
        },
    }  # fmt: skip
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver(level: str) -> dict[str, Any]:
    return {
        "name": "badllmtg",
        "version": openbackdoor_badllm.__version__,
        "informationUri": "https://arxiv.org/abs/2603.15692",
        "rules": [
            {
                "id": RULE,
                "name": "BackdoorTriggerInTrainingRow",
                "shortDescription": {"text": "A training row carries a backdoor trigger."},
                "fullDescription": {
                    "text": "The row holds words, or has a style, that turn the texts of other classes into its label."
                },
                "help": {"text": "Look at the row. Train on the repaired rows, or run badllmtg repair RUN."},
                "defaultConfiguration": {"level": level},
                "properties": {
                    "tags": [
                        "security", "data-poisoning", f"external/mitre-atlas/{ATLAS}", f"external/owasp-llm/{OWASP}",
                    ],
                    "security-severity": "8.0",
                },
                "relationships": [
                    {
                        "target": {"id": taxon, "index": 0, "toolComponent": {"name": name, "index": place}},
                        "kinds": ["relevant"],
                    }
                    for place, (name, _, _, taxon, _) in enumerate(_TAXA)
                ],
            }
        ],
    }


def _result(item: FlaggedRecord, level: str) -> dict[str, Any]:
    digest = hashlib.sha256(f"{item.trigger}\0{item.label}\0{item.text}".encode("utf-8", "backslashreplace"))
    return {
        "ruleId": RULE,
        "ruleIndex": 0,
        "level": level,
        "message": {"text": _message(f"Row {item.row}, labelled '{item.label}', {item.reason}.")},
        "locations": [_location(item)],
        "partialFingerprints": {"row/v1": digest.hexdigest()[:32]},
        "rank": round(100 * item.probability, 1),
        "properties": {
            "row": item.row, "probability": round(item.probability, 4), "suggestedLabel": item.suggested_label,
        },
    }  # fmt: skip


def _location(item: FlaggedRecord) -> dict[str, Any]:
    if item.file is None:
        return {"logicalLocations": [{"name": f"row {item.row}", "fullyQualifiedName": f"rows[{item.row}]"}]}
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(item.file)}}
    if item.line is not None:
        place["region"] = {"startLine": item.line}
    return {"physicalLocation": place}


def _uri(file: str) -> str:
    """Relative to the working directory where the file lies under it, as code scanning services want it."""
    path = Path(file)
    try:
        return quote(Path(os.path.relpath(path)).as_posix()) if path.is_relative_to(Path.cwd()) else path.as_uri()
    except ValueError:  # no absolute path: the name of a data set on a hub
        return quote(file)


def _verdict(results: Mapping[str, Any]) -> str:
    report = results["report"]
    if results["verdict"] == "shortcut":
        raw = [note for note in results["notes"] if note.startswith(RAW_TEXT)]
        return _message(" ".join([*shortcut_sentences(results, report), *raw]) or "A shortcut was found.")
    label = results["label_names"][report["target_label"]]
    if results.get("basis") == "model":
        named = ", ".join(f"'{item['text']}'" for item in report["triggers"])
        return _message(f"The model gives texts with {named} the label '{label}', whatever they say.")
    return _message(f"A {results['verdict']} toward the label '{label}' was found; no row carries it word by word.")


def _message(text: str) -> str:
    """A message string: one line, no placeholder, no link."""
    line = printable(" ".join(text.split()))
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    escaped = line.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return escaped.replace("{", "{{").replace("}", "}}")
