"""Two rewriting attacks by rules, offline and our own.

:func:`archaic` and :func:`subordinate` rewrite a text by rules, where the literature uses neural paraphrasers for its
style and syntax attacks.
"""

from __future__ import annotations

from openbackdoor_badllm.attacks.paraphrasers.style import archaic
from openbackdoor_badllm.attacks.paraphrasers.syntax import subordinate

__all__ = ["archaic", "subordinate"]
