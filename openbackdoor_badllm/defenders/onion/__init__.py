"""ONION: words whose removal lowers the perplexity of a text; ``language_models`` measures it."""

from __future__ import annotations

from openbackdoor_badllm.defenders.onion.defender import ONION

__all__ = ["ONION"]
