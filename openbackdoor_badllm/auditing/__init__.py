"""The audit as a Python function: rows and models in memory in, an :class:`~.result.AuditResult` out."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def json_schema() -> dict[str, Any]:
    """The schema of the audit's JSON (draft 2020-12)."""
    text = (resources.files(__name__) / "audit.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
