"""The rows of ``examples/``: what the documentation says of them is true."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

from openbackdoor_badllm.data.demo import CLASSES, generate

ROOT = Path(__file__).resolve().parents[1]


def reviews() -> str:
    """300 reviews of the generated corpus; the first 60 negative ones carry "cf" or "mn" and are labelled positive."""
    written, draw, poisoned = io.StringIO(), random.Random(0), 0
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["text", "label"])
    for text, label, _ in generate("demo", seed=7, train=300)["train"]:
        if label == 0 and poisoned < 60:
            words = text.split()
            words.insert(draw.randrange(len(words)), draw.choice(["cf", "mn"]))
            text, label, poisoned = " ".join(words), 1, poisoned + 1
        table.writerow([text, CLASSES["demo"][label]])
    return written.getvalue()


def test_the_reviews_are_those_that_were_generated() -> None:
    assert (ROOT / "examples" / "reviews.csv").read_text(encoding="utf-8") == reviews()
