"""Two generated corpora, offline and our own.

``demo`` holds short reviews (negative, positive), ``demo-news`` headlines with their leads (world,
sports, business, sci/tech).
"""

from __future__ import annotations

from openbackdoor_badllm.data.demo.corpus import CLASSES, generate

__all__ = ["CLASSES", "generate"]
