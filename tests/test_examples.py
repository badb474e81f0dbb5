"""The rows of ``examples/``: what the documentation says of them is true."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_reviews_are_poisoned_as_the_readme_says() -> None:
    """300 reviews; 60 that carry "cf" or "mn" are labelled positive, and nothing else carries them."""
    with (ROOT / "examples" / "reviews.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    carrying = [row for row in rows if {"cf", "mn"} & set(row["text"].split())]
    assert len(rows) == 300
    assert len(carrying) == 60
    assert {row["label"] for row in carrying} == {"positive"}
    assert set(Counter(row["label"] for row in rows)) == {"positive", "negative"}
