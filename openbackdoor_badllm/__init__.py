"""BadLLM-TG (arXiv 2603.15692) as a plugin for OpenBackdoor."""

from __future__ import annotations

__version__ = "0.1.0"
