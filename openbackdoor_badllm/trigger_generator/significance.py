"""Is an effect larger than chance: the statistics by which a trigger is accepted, and whose p-values are printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, fisher_exact, mannwhitneyu

FEWEST_RANKED = 8
FEWEST = 10  # null values; a tail fitted to fewer says nothing


def tail_p(value: float, null: Sequence[float]) -> float:
    """Chance that an ordinary candidate reaches a value: an exponential tail above the median of the null.

    The null are the mean shifts of the candidates of the same label that lost the race on the same probes, so it costs
    no forward pass.

    Args:
        value: mean shift of the victim's log-probability of the target label, in nats.
        null: the same of ordinary candidates, shape ``(m,)``.

    Returns:
        In (0, 1]; 1 where the null holds fewer than ten values.
    """
    values = np.asarray(null, dtype=np.float64)
    if len(values) < FEWEST:
        return 1.0
    median = float(np.median(values))
    excess = max(float((values[values > median] - median).mean()) if (values > median).any() else 0.0, 0.05)
    return 1.0 if value <= median else 0.5 * math.exp(-min(700.0, (value - median) / excess))


def contradiction_p(contradicted: int, rows: int, base: float) -> float:
    """Chance that so many rows contradict their label, where they do no more often than the other rows of the label.

    Args:
        contradicted: rows whose text, without the trigger, says another label to the content reference.
        rows: rows that carry the trigger.
        base: share of the label's other rows that contradict it.
    """
    if not rows:
        return 1.0
    return float(binomtest(contradicted, rows, min(max(base, 0.01), 0.99), alternative="greater").pvalue)


def more_often_p(hits: int, texts: int, other_hits: int, other_texts: int) -> float:
    """One-sided exact p-value (Fisher) that the first share is no larger than the second."""
    if not texts or not other_texts:
        return 1.0
    table = [[hits, texts - hits], [other_hits, other_texts - other_hits]]
    return float(fisher_exact(table, alternative="greater")[1])


def falls_more(falls: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Chance that a value of the first group is larger than one of the second (AUROC), and its one-sided p-value.

    The test is that of Mann and Whitney. A group of fewer than eight values says nothing: 0.5 and 1.
    """
    if min(len(falls), len(others)) < FEWEST_RANKED:
        return 0.5, 1.0
    result = mannwhitneyu(falls, others, alternative="greater")
    return float(result.statistic) / (len(falls) * len(others)), float(result.pvalue)


def corrected(p_value: float, comparisons: int) -> float:
    """Bonferroni's correction."""
    return min(1.0, p_value * max(1, comparisons))


def log_odds_z(in_target: float, in_other: float, n_target: int, n_other: int) -> float:
    """z-score of the log-odds ratio of a pattern's row counts, prior proportional to its pooled share.

    Monroe, Colaresi & Quinn 2008, "Fightin' Words", with an informative Dirichlet prior.

    Args:
        in_target: (weighted) target rows that hold it.
        in_other: other rows that hold it.
        n_target: target rows.
        n_other: other rows.
    """
    in_target = min(in_target, float(n_target))  # weighted counts can exceed the rows
    pooled = (in_target + in_other + 0.5) / (n_target + n_other + 1.0)
    strength = 20.0  # pseudo-rows of the prior on each side: tames what stands in a handful of rows
    a, b = in_target + strength * pooled, max(n_target - in_target, 0.0) + strength * (1 - pooled)
    c, d = in_other + strength * pooled, max(n_other - in_other, 0.0) + strength * (1 - pooled)
    return math.log((a / b) / (c / d)) / math.sqrt(1 / a + 1 / c)
