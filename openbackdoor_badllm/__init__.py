"""BadLLM-TG (arXiv 2603.15692) as a plugin for OpenBackdoor.

Importing the package registers its defenders with OpenBackdoor, where that is loaded already or as soon as it is,
and makes ``import openbackdoor`` work on today's packages. The public names are fetched when they are first used, so
that ``badllmtg --help`` need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from openbackdoor_badllm.openbackdoor.importing import hook

__version__ = "0.2.0"

_HOMES = {
    "DEFENDERS": "openbackdoor_badllm.defenders",
    "load_defender": "openbackdoor_badllm.defenders",
    "register": "openbackdoor_badllm.defenders",
    "AuditResult": "openbackdoor_badllm.auditing.result",
    "audit": "openbackdoor_badllm.auditing.api",
    "audit_model": "openbackdoor_badllm.auditing.model_audit",
    "AuditConfig": "openbackdoor_badllm.settings",
    "AuditReport": "openbackdoor_badllm.report",
    "run_audit": "openbackdoor_badllm.pipeline",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


hook()
