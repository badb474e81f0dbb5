"""Where to begin looking for rows of a style, when rewrites show what it looks like.

Rewrites and their originals say the same; what tells them apart is the style alone. A bag of words and characters
learns that from a few dozen pairs and ranks the target rows by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray

FEWEST = 8


def style_weights(
    pairs: Sequence[tuple[Example, Example]], examples: Sequence[Example], weights: FloatArray
) -> FloatArray:
    """How much each row looks like a rewrite, 1 on average; the given weights where there are too few pairs.

    Args:
        pairs: rows and their rewrites.
        examples: the training rows.
        weights: suspicion of each row from stage (a).

    Returns:
        Shape ``(n,)``.
    """
    if len(pairs) < FEWEST:
        return weights
    alike = likeness([(row.text, copy.text) for row, copy in pairs], [example.text for example in examples])
    result: FloatArray = (alike / max(1e-9, float(alike.mean()))).astype(np.float32)
    return result


def likeness(pairs: Sequence[tuple[str, str]], texts: Sequence[str]) -> FloatArray:
    """How likely each text is a rewrite, judged by texts before and after the rewriting; shape ``(n,)``."""
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", lowercase=False, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), lowercase=False, sublinear_tf=True),
        ),
        LogisticRegression(C=10.0, max_iter=300),
    )
    model.fit([text for pair in pairs for text in pair], [0, 1] * len(pairs))
    probability: FloatArray = model.predict_proba(list(texts))[:, 1].astype(np.float32)
    return probability
