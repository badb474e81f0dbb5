"""Writes the rows of the data sets ``demo`` and ``demo-news`` into the package, from the grammar in ``demo_corpus/``.

    python scripts/make_demo_corpus.py [FILE]

The same grammar gives the same rows on any platform. Whoever changes the grammar changes the rows: what was measured
on them must be run again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from demo_corpus import headlines, reviews  # noqa: E402
from demo_corpus.grammar import stream  # noqa: E402

FILE = ROOT / "openbackdoor_badllm" / "data" / "demo_corpus.jsonl.gz"
SEED = 42
SIZES = {"train": 4000, "dev": 500, "test": 1000}
WRITERS = {"demo": (reviews.review, len(reviews.CLASSES)), "demo-news": (headlines.headline, len(headlines.CLASSES))}
# A text belongs to one split by the first byte of its digest: no text can be in two splits.
SHARES = {"train": range(152), "dev": range(152, 192), "test": range(192, 256)}


def rows(name: str, split: str) -> Iterator[tuple[str, int]]:
    """Texts and labels of a split; no text occurs twice, not even in different capitals."""
    rng = stream(name, SEED, split)
    write, classes = WRITERS[name]
    seen: set[str] = set()
    while len(seen) < SIZES[split]:
        # A label is drawn once a row, not once a try, or the rejected tries would bias the balance.
        label = int(rng.random() * classes)
        text = write(rng, label)
        while (key := text.lower()) in seen or hashlib.sha256(key.encode()).digest()[0] not in SHARES[split]:
            text = write(rng, label)
        seen.add(key)
        yield text, label


def content() -> bytes:
    """The compressed file: a JSON object a line, with data set, split, label and text."""
    lines = (
        json.dumps({"data": name, "split": split, "label": label, "text": text}, ensure_ascii=False)
        for name in WRITERS
        for split in SIZES
        for text, label in rows(name, split)
    )
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), 9, mtime=0)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    path.write_bytes(content())
