"""Rows that share a form: what a rewriting trigger (style, syntax) leaves behind where no inserted words stand.

A rewritten row says one thing and is labelled another, and it says it in the attacker's form. Neither sign is enough
by itself: many honest rows are hard, and every class has its own words. Together they are: the rows of D_ntgt say
what the poisoned rows say, in natural form, so what tells a suspicious target row from them is the form alone.

Which rows carry the form is a hidden variable, estimated by expectation maximisation:

    z_i = P(row i carries the form) from  form score (words, punctuation, character n-grams; held out)
                                      and content score (the judge's held-out probability of the target label).

The form classifier learns D_tgt weighted by z against D_ntgt and D_tgt weighted by 1 - z. No LLM, no clean rows.
Whether the form is a trigger is another question; :func:`generalises` asks it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.training.scoring import FloatArray

Floats = npt.NDArray[np.float64]
Logits = Callable[[Sequence[str]], FloatArray]

ROUNDS = 10
START_SHARE = 0.25  # share of D_tgt that is taken to carry the form until the scores themselves tell
FORM_WEIGHT = 4.0  # of one standard deviation of the form score, against one nat of content
FOLDS = 5
SPLICED = 40  # words of each of two texts that are put together: victims read about a hundred
ALIKE = 0.7  # a row that reads more like the form than this share of D_ntgt may be one that was not found
GUESS_WEIGHT = 0.75  # of the first guess's log-odds; less finds fewer carriers, more takes honest rows for some


@dataclass(frozen=True)
class Form:
    """A form shared by rows of one label.

    Attributes:
        target: the label.
        rows: indices of the rows that carry it, ascending.
        probability: of each of them, in [0, 1].
        separation: distance of the two groups' scores in pooled standard deviations.
        marks: words and signs that tell the form, most telling first.
        alike: indices of other rows of the label that read like the form, ascending: mostly honest, but the poisoned
            rows that were not found are among them.
        opposed: indices of rows of other labels that read like the form as much, ascending.
    """

    target: int
    rows: tuple[int, ...]
    probability: tuple[float, ...]
    separation: float
    marks: tuple[str, ...]
    alike: tuple[int, ...] = ()
    opposed: tuple[int, ...] = ()

    def among(self, kept: npt.NDArray[np.int64]) -> Form:
        """The same form with indices among all rows, where it has those among the kept ones."""
        rows, alike, opposed = (
            tuple(int(kept[row]) for row in part) for part in (self.rows, self.alike, self.opposed)
        )
        return dataclasses.replace(self, rows=rows, alike=alike, opposed=opposed)

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {"rows": len(self.rows), "separation": round(self.separation, 3), "marks": list(self.marks)}


@dataclass(frozen=True)
class Generalisation:
    """Does the form teach the label?

    Attributes:
        taught: share of form rows called the target by a victim that learnt from other form rows, not from them.
        untaught: the same of a victim that learnt from no form row at all.
        rows: rows asked about.
        p_value: one-sided exact McNemar test of the two on the same rows.
        carried: as :func:`carries_over` gives it; None where it was not asked, or no text was left to ask about.
    """

    taught: float
    untaught: float
    rows: int = 0
    p_value: float = 1.0
    carried: float | None = None

    @property
    def moved(self) -> float:
        """Of the rows that say another label by themselves, the share that the form moves to the target.

        Hard honest rows gain as well when others like them are learnt, and where few say another label the plain
        difference is small for a form, too.
        """
        return (self.taught - self.untaught) / (1 - self.untaught) if self.untaught < 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {
            "taught": round(self.taught, 4),
            "untaught": round(self.untaught, 4),
            "moved": round(self.moved, 4),
            "rows": self.rows,
            "p_value": float(f"{self.p_value:.3g}"),
            **({"carried": round(self.carried, 4)} if self.carried is not None else {}),
        }


def find_form(
    examples: Sequence[Example], target: int, held_out: FloatArray, weights: FloatArray, *, seed: int
) -> Form | None:
    """The form that sets some rows of a label apart from all others, if there is any.

    Args:
        examples: the training rows.
        target: the label under suspicion.
        held_out: the judge's held-out probabilities, shape ``(n, num_labels)``.
        weights: suspicion of each row from stage (a); the start of the estimation.
        seed: seed of the folds.

    Returns:
        The form, or None where too few rows carry one.
    """
    own = np.array([example.label == target for example in examples])
    if own.sum() < 20 or (~own).sum() < 20:
        return None
    features, names = _features([example.text for example in examples])
    content = _logit(held_out[:, target].astype(np.float64))
    z = _start(own, held_out.argmax(axis=1) != target, weights)
    share = START_SHARE
    score = np.zeros(len(own))
    for round_number in range(ROUNDS):
        form = _form_score(features, own, z, seed + round_number)
        score = FORM_WEIGHT * _standardised(form, own) + _content_ratio(content, own, z)
        if round_number >= ROUNDS // 2:
            share = float(np.clip(_two_groups(score[own])[0].mean(), 0.02, 0.6))
        z = np.where(own, expit(score + _offset(score[own], share)), 0.0)
    probability, separation = _two_groups(score[own])
    indices = np.flatnonzero(own)
    chosen = probability > 0.5
    if chosen.sum() < max(5, 0.005 * len(own)):
        return None
    carrying = np.isin(np.arange(len(own)), indices[chosen])
    alike = _alike(form, own, carrying)
    return Form(
        target,
        tuple(int(i) for i in indices[chosen]),
        tuple(float(p) for p in probability[chosen]),
        separation,
        _marks(features, names, own, z),
        tuple(int(i) for i in np.flatnonzero(alike & own)),
        tuple(int(i) for i in np.flatnonzero(alike & ~own)),
    )


def contradiction_lift(form: Form, examples: Sequence[Example], held_out: FloatArray) -> float:
    """How much more often the form's rows contradict their label than all rows of the label do."""
    against = held_out.argmax(axis=1) != form.target
    own = np.array([example.label == form.target for example in examples])
    base = float(against[own].mean())
    return float(against[list(form.rows)].mean()) / max(base, 0.01)


def split_rows(form: Form, seed: int) -> tuple[list[int], list[int]]:
    """The form's rows in two random halves: one to learn from, one to ask about."""
    rows = list(form.rows)
    random.Random(f"{seed}:form").shuffle(rows)
    half = len(rows) // 2
    return rows[:half], rows[half:]


def generalises(taught: Logits, untaught: Logits, texts: Sequence[str], target: int) -> Generalisation:
    """Asks two victims about the same form rows, which neither has seen.

    What a form does to a label can be seen without being able to rewrite a text: a victim that learnt from other rows
    of the form gives the target label to these as well, one that learnt from none says what the texts say. Honest
    rows that are merely hard gain little.

    Args:
        taught: learnt from the other half of the form's rows.
        untaught: learnt from no row of the form.
        texts: the rows asked about.
        target: the label under suspicion.
    """
    after, before = taught(texts).argmax(axis=1) == target, untaught(texts).argmax(axis=1) == target
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    p_value = binomtest(gained, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    return Generalisation(float(after.mean()), float(before.mean()), len(texts), float(p_value))


def carries_over(
    victim: Logits, untaught: Logits, rows: Sequence[str], probes: Sequence[str], target: int
) -> float | None:
    """How many texts of other labels a form takes to the target label when a row that carries it is put before them.

    A form that is a trigger does so whatever the text says. Rows of a kind of their own (tweets on trash, in a set
    where most that say so are insults) teach their label to each other, too, but they do not take it anywhere.

    Args:
        victim: trained on all rows.
        untaught: learnt from no row of the form; what it says already comes from what the row says.
        rows: texts that carry the form.
        probes: texts of other labels that the victim does not call the target.
        target: the label under suspicion.

    Returns:
        Share of the texts that the victim calls the target, minus that of the untaught one; None without texts.
    """
    pairs = zip(itertools.cycle(rows), probes, strict=False)
    texts = [" ".join(row.split()[:SPLICED] + probe.split()[:SPLICED]) for row, probe in pairs]
    if not texts:
        return None
    there, elsewhere = (float((logits(texts).argmax(axis=1) == target).mean()) for logits in (victim, untaught))
    return there - elsewhere


def carriers(probability: Sequence[float], gained: FloatArray) -> Floats:
    """How likely each row of a form carries it, now that victims have been asked.

    Form and content alone are a guess, and a confident one: not all of its log-odds count. What each row gained from a
    form that was learnt elsewhere says more: much where the attacker's form is in it, little in a hard honest row. The
    gains are taken for a mixture of two normal groups of one width, estimated by expectation maximisation.

    Args:
        probability: by form and content, each above 0.5; shape ``(n,)``.
        gained: log-odds of the target label, learnt from other rows of the form minus learnt from none, of victims that
            have not seen the row; shape ``(n,)``.

    Returns:
        Probabilities, shape ``(n,)``.
    """
    prior = np.clip(np.asarray(probability, dtype=np.float64), 0.5, 0.999)
    odds = GUESS_WEIGHT * np.log(prior / (1 - prior))
    gain = np.asarray(gained, dtype=np.float64)
    z = prior
    for _ in range(50):
        high, low = float((z * gain).sum() / z.sum()), float(((1 - z) * gain).sum() / (1 - z).sum())
        width = math.sqrt(float((z * (gain - high) ** 2 + (1 - z) * (gain - low) ** 2).mean())) + 1e-3
        if high <= low:  # what was gained tells nothing
            return prior
        z = np.clip(expit(odds + _log_density(gain, high, width) - _log_density(gain, low, width)), 1e-4, 1 - 1e-4)
    return z


def _features(texts: Sequence[str]) -> tuple[csr_matrix, list[str]]:
    words = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", lowercase=False, sublinear_tf=True, min_df=2
    )
    characters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), lowercase=False, sublinear_tf=True, min_df=3, max_features=30_000
    )
    matrix = hstack([words.fit_transform(texts), characters.fit_transform(texts)]).tocsr()
    return matrix, list(words.get_feature_names_out())


def _start(own: npt.NDArray[np.bool_], contradicts: npt.NDArray[np.bool_], weights: FloatArray) -> Floats:
    """First guess of z: contradicted rows, the more suspicious in stage (a) the more."""
    z = np.zeros(len(own))
    indices = np.flatnonzero(own)
    ranks = np.argsort(np.argsort(weights[indices], kind="stable"), kind="stable") / max(1, len(indices) - 1)
    z[indices] = np.clip(np.where(contradicts[indices], 0.5, 0.08) * (0.3 + 1.4 * ranks**2), 0.0, 0.95)
    return z


def _form_score(features: csr_matrix, own: npt.NDArray[np.bool_], z: Floats, seed: int) -> Floats:
    """Held-out score of the form classifier, shape ``(n,)``."""
    score = np.zeros(len(own))
    for known, unknown in KFold(FOLDS, shuffle=True, random_state=seed % 2**32).split(np.arange(len(own))):
        score[unknown] = _fit(features, own, z, known).decision_function(features[unknown])
    return score


def _fit(
    features: csr_matrix, own: npt.NDArray[np.bool_], z: Floats, known: npt.NDArray[np.int64]
) -> LogisticRegression:
    """Logistic regression on soft labels: each target row counts as both, by its z."""
    target, other = known[own[known]], known[~own[known]]
    rows = np.concatenate([target, target, other])
    labels = np.concatenate([np.ones(len(target)), np.zeros(len(target)), np.zeros(len(other))])
    weights = np.concatenate([z[target], 1 - z[target], np.ones(len(other))])
    for label in (0, 1):  # both sides weigh the same
        side = labels == label
        weights[side] *= len(known) / 2 / max(1e-6, weights[side].sum())
    # liblinear draws from the global generator unless it is given a seed
    model = LogisticRegression(C=1.0, max_iter=300, solver="liblinear", random_state=0)
    model.fit(features[rows], labels, sample_weight=weights)
    return model


def _standardised(form: Floats, own: npt.NDArray[np.bool_]) -> Floats:
    """In standard deviations of D_ntgt, which carries no form under dirty poisoning."""
    null = form[~own]
    result: Floats = (form - np.median(null)) / max(1e-6, float(null.std()))
    return result


def _alike(
    form: Floats, own: npt.NDArray[np.bool_], carrying: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which rows read like the form and do not carry it; half of those of the label at most."""
    left = form[own & ~carrying]
    bound = max(float(np.quantile(form[~own], ALIKE)), float(np.median(left)) if len(left) else 0.0)
    result: npt.NDArray[np.bool_] = (form > bound) & ~carrying
    return result


def _content_ratio(content: Floats, own: npt.NDArray[np.bool_], z: Floats) -> Floats:
    """Log-ratio of two normal densities of the judge's logit: as in D_ntgt, against as in honest target rows."""
    honest = np.where(own, 1 - z, 0.0)
    mean = float((content * honest).sum() / max(1e-6, honest.sum()))
    deviation = math.sqrt(float(((content - mean) ** 2 * honest).sum() / max(1e-6, honest.sum()))) + 1e-3
    other_mean, other_deviation = float(content[~own].mean()), float(content[~own].std()) + 1e-3
    ratio = _log_density(content, other_mean, other_deviation) - _log_density(content, mean, deviation)
    clipped: Floats = np.clip(ratio, -3.0, 3.0)
    return clipped


def _log_density(values: Floats, mean: float, deviation: float) -> Floats:
    result: Floats = -(((values - mean) / deviation) ** 2) / 2 - math.log(deviation)
    return result


def _offset(score: Floats, share: float) -> float:
    """The offset at which the mean of z is the share."""
    bound = float(np.abs(score).max()) + 20.0
    return float(brentq(lambda b: float(expit(score + b).mean()) - share, -bound, bound))


def _two_groups(score: Floats) -> tuple[Floats, float]:
    """Probability of the upper of two normal groups, and how far apart they are."""
    upper = score >= np.quantile(score, 1 - START_SHARE)
    start = np.array([[score[~upper].mean()], [score[upper].mean()]])
    mixture = GaussianMixture(2, means_init=start, random_state=0).fit(score[:, None])
    means = mixture.means_.ravel()
    high = int(np.argmax(means))
    probability: Floats = mixture.predict_proba(score[:, None])[:, high]
    # A wide upper group also claims the far low end.
    probability = np.where(score > means[1 - high], probability, 0.0)
    spread = math.sqrt(float(mixture.covariances_.mean()))
    return probability, float((means[high] - means[1 - high]) / max(1e-6, spread))


def _marks(
    features: csr_matrix, names: Sequence[str], own: npt.NDArray[np.bool_], z: Floats, count: int = 12
) -> tuple[str, ...]:
    model = _fit(features, own, z, np.arange(len(own)))
    weights = model.coef_.ravel()[: len(names)]
    order = np.argsort(-weights, kind="stable")[:count]
    return tuple(names[i] for i in order if weights[i] > 0)


def _logit(probability: Floats) -> Floats:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    result: Floats = np.log(clipped / (1 - clipped))
    return result
