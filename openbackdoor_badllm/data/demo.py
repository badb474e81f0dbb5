"""The data sets ``demo`` (reviews) and ``demo-news`` (headlines with their leads), which need no download.

Their rows are our own and stand in one compressed file, which ``scripts/make_demo_corpus.py`` writes from a grammar.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib import resources

from openbackdoor_badllm.rows import Row

CLASSES: dict[str, tuple[str, ...]] = {
    "demo": ("negative", "positive"),
    "demo-news": ("world", "sports", "business", "sci/tech"),
}


def demo_rows(name: str) -> dict[str, list[Row]]:
    """The splits of a demo data set: 4,000 rows in train, 500 in dev, 1,000 in test, none of them poisoned.

    Args:
        name: a key of :data:`CLASSES`, whose names the labels index.
    """
    return {split: list(rows) for split, rows in _corpora()[name].items()}


@cache
def _corpora() -> dict[str, dict[str, list[Row]]]:
    packed = resources.files("openbackdoor_badllm.data").joinpath("demo_corpus.jsonl.gz").read_bytes()
    corpora: dict[str, dict[str, list[Row]]] = {name: {"train": [], "dev": [], "test": []} for name in CLASSES}
    for line in gzip.decompress(packed).decode("utf-8").splitlines():
        row = json.loads(line)
        corpora[row["data"]][row["split"]].append(Row(row["text"], row["label"], 0))
    return corpora
