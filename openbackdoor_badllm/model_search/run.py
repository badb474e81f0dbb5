"""All labels of one victim: from texts and a classifier to a finding."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.model_search.gradient import Gradient
from openbackdoor_badllm.model_search.reference import Reference
from openbackdoor_badllm.model_search.search import Asked, LabelSearcher, ModelLabelSearch
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.model_search.words import vocabulary, words_to_try
from openbackdoor_badllm.protocols import Classifier, Encoder, Limited
from openbackdoor_badllm.report import Verdict
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.progress import Progress


@dataclass(frozen=True)
class ModelFinding:
    """What is found in a model alone.

    Attributes:
        searches: of the labels that were searched.
        too_few: labels that too few texts speak against.
        unsearched: labels that the deadline left.
        texts: how many texts were looked at.
        words: how many words were tried.
        agreement: share of the texts to which the content reference gives the victim's label; None without one.
        referenced: whether the content reference took part: one that knows nothing of the labels does not.
    """

    searches: tuple[ModelLabelSearch, ...]
    too_few: tuple[int, ...]
    unsearched: tuple[int, ...]
    texts: int
    words: int
    agreement: float | None
    referenced: bool

    @property
    def backdoors(self) -> list[ModelLabelSearch]:
        """The searches that found a trigger, the surest first."""
        found = [search for search in self.searches if search.found]
        return sorted(found, key=lambda search: -search.found[0].answers[1].reward.value)

    @property
    def verdict(self) -> Verdict:
        """In the three degrees of an audit."""
        if self.backdoors:
            return Verdict.BACKDOOR
        return Verdict.SHORTCUT if any(search.shortcuts for search in self.searches) else Verdict.NOTHING


def search_model(
    victim: Classifier,
    texts: Sequence[str],
    num_labels: int,
    *,
    known: Sequence[str],
    encoder: Encoder | None,
    config: ModelSearchConfig,
    seed: int,
    progress: Progress,
    deadline: Deadline,
) -> ModelFinding:
    """Looks for inserted triggers in a victim, by its answers on texts of any kind.

    Args:
        victim: a classifier; one of transformers gives its gradients as well.
        texts: what it is asked about; their labels are not known.
        num_labels: number of classes.
        known: words of a vocabulary, for a victim that has none.
        encoder: the frozen encoder of the content reference; None where none can be had.
        config: how.
        seed: of everything that is drawn.
        progress: listener.
        deadline: no further label is searched once it has passed; one always is.

    Raises:
        DataError: there are too few texts.
    """
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    least = 3 * config.fewest_probes
    if len(distinct) < least:
        raise DataError(
            f"The model is asked on at least {least} different texts, but there are {len(distinct)}: give more, of the "
            "kind that the model is made for."
        )
    if len(distinct) > config.texts:
        distinct = random.Random(f"{seed}/texts").sample(distinct, config.texts)
    read = list(dict.fromkeys(victim.readable(distinct))) if isinstance(victim, Limited) else distinct
    words = vocabulary(victim.tokenizer) if isinstance(victim, TrainedClassifier) else {}
    tried = words_to_try(read, list(words) or known, config.words, seed)
    progress.stage(f"the model's answers: {len(read)} texts, {len(tried)} words alone")
    asked = Asked(read, victim.logits(read), tried, victim.logits(tried))
    reference = Reference(encoder, read, asked.said, num_labels, seed) if encoder is not None else None
    informed = reference if reference is not None and reference.kappa >= config.reference_kappa else None
    gradient = Gradient(victim, words) if isinstance(victim, TrainedClassifier) and words else None
    searcher = LabelSearcher(victim, asked, gradient, informed, config, seed)
    searches: list[ModelLabelSearch] = []
    left: list[int] = []
    progress.stage("trigger search in the model alone")
    for label in range(num_labels):
        if searches and deadline.passed:
            left.append(label)
            continue
        searches.append(searcher.search(label))
        progress.step(label + 1, num_labels, f"label {label}")
    return ModelFinding(
        tuple(search for search in searches if search.probes.search),
        tuple(search.label for search in searches if not search.probes.search), tuple(left), len(read), len(tried),
        None if reference is None else reference.agreement, informed is not None,
    )
