"""Two generated corpora and two rewriting attacks by rules, all offline and our own.

``demo`` holds short reviews (negative, positive), ``demo-news`` headlines with their leads (world,
sports, business, sci/tech). :func:`archaic` and :func:`subordinate` rewrite a text by rules, where
the literature uses neural paraphrasers for its style and syntax attacks.
"""

from __future__ import annotations

from openbackdoor_badllm.host.builtin.demo.corpus import CLASSES, generate
from openbackdoor_badllm.host.builtin.demo.style import archaic
from openbackdoor_badllm.host.builtin.demo.syntax import subordinate

__all__ = ["CLASSES", "archaic", "generate", "subordinate"]
