"""``audit_model``: an audit of a classifier without the rows that it was trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from openbackdoor_badllm.auditing.inputs import as_given_texts
from openbackdoor_badllm.auditing.model_results import history_of, results_of
from openbackdoor_badllm.auditing.models import as_given_model
from openbackdoor_badllm.auditing.result import AuditResult
from openbackdoor_badllm.deadline import Deadline
from openbackdoor_badllm.errors import ConfigError, MissingExtraError
from openbackdoor_badllm.evaluation.audit_rows import MEMORY
from openbackdoor_badllm.evaluation.audit_victim import Given, Named
from openbackdoor_badllm.evaluation.console import ConsoleProgress
from openbackdoor_badllm.model_search.run import search_model
from openbackdoor_badllm.model_search.settings import ModelSearchConfig
from openbackdoor_badllm.model_search.words import vocabulary
from openbackdoor_badllm.protocols import Encoder
from openbackdoor_badllm.reading import apply_overrides, check_seed, refuse_unknown, shown, want_section
from openbackdoor_badllm.section import read
from openbackdoor_badllm.training.checking import check_answers
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.embedding import Embedder
from openbackdoor_badllm.training.progress import Progress
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.victims import AUTO, MINILM, load_tokenizer, minilm_folder

READ = 128
"""Tokens that the model reads of a text: a trigger works in the beginning of one, and the search asks thousands."""
KEYS = ("model", "texts", "text_column", "label_names", "encoder", "search", "seed", "time_limit", "max_len", "device")


def audit_model(
    model: Any,
    texts: Any,
    *,
    text_column: str | None = None,
    label_names: Sequence[str] | None = None,
    encoder: str | None = AUTO,
    search: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    random_state: int = 42,
    device: str = "gpu",
    progress: bool = False,
) -> AuditResult:
    """Looks for an inserted trigger in a classifier whose training rows are not at hand.

    Args:
        model: folder or hub name, a pair (transformers model, tokenizer), a transformers pipeline, or any callable from
            a list of texts to logits or probabilities of shape ``(n, classes)``.
        texts: ordinary texts of the kind that the model is made for, 100 or more; labels are not used. A list, tuple,
            array or Series, or a DataFrame or ``datasets.Dataset`` with a text column.
        text_column: that column, where its name does not tell.
        label_names: class names in the order of the model's outputs.
        encoder: frozen encoder of the content reference, which tells a trigger from a word of the class: folder or hub
            name, ``minilm``, ``auto`` (``minilm`` where it is installed, else none), or None.
        search: keys of :class:`~openbackdoor_badllm.model_search.settings.ModelSearchConfig`.
        time_limit: seconds after which no further label is searched; one always is.
        random_state: seed of everything that is drawn; no global generator is touched.
        device: ``gpu`` (where there is one) or ``cpu``.
        progress: tell it on stderr.

    Raises:
        UserError: something does not fit; its text is one sentence that says what, and how to mend it.
    """
    read_texts = as_given_texts(texts, text_column)
    given, named = as_given_model(model, read_texts)
    if named is None:
        raise ConfigError("The model is missing: give a folder, a pair (model, tokenizer), a pipeline or a callable.")
    config = resolve_model_audit(
        named, MEMORY, label_names=label_names, encoder=encoder, search=search, time_limit=time_limit,
        seed=random_state, device=device,
    )  # fmt: skip
    with ConsoleProgress(Console(stderr=True), quiet=not progress) as listener:
        return run_model_audit(config, read_texts, given or Named(named), listener)


def resolve_model_audit(
    model: str, texts: str, *, overrides: Sequence[str] = (), seed: int = 42, search: Mapping[str, Any] | None = None,
    label_names: Sequence[str] | None = None, **more: Any,
) -> dict[str, Any]:
    """The config of an audit of a model alone, complete.

    Args:
        model: its folder or name.
        texts: file of the texts.
        overrides: ``key=value``, such as ``search.probe_rows=60``.
        seed: of everything that is drawn.
        search: keys of the search.
        label_names: class names in the order of the model's outputs.
        **more: ``text_column``, ``encoder``, ``time_limit``, ``device``.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    check_seed("seed", seed)
    config: dict[str, Any] = {
        "model": model, "texts": texts, "encoder": AUTO, "search": dict(search or {}), "seed": seed, "max_len": READ,
        "device": "gpu", "time_limit": None, "text_column": None,
        "label_names": None if label_names is None else [str(name) for name in label_names], **more,
    }  # fmt: skip
    apply_overrides(config, overrides)
    refuse_unknown(config, KEYS, "audit --texts")
    want_section("search", config["search"])
    config["search"] = read(ModelSearchConfig, config["search"], "search").model_dump()
    limit, length = config["time_limit"], config["max_len"]
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0):
        raise ConfigError(f"'time_limit' must be a number of seconds above 0, but is {shown(limit)}.")
    if type(length) is not int or length < 8:
        raise ConfigError(f"'max_len' must be a whole number of at least 8 tokens, but is {shown(length)}.")
    return config


def run_model_audit(
    config: dict[str, Any], texts: Sequence[str], given: Given, progress: Progress, name: str = "texts in memory"
) -> AuditResult:
    """The audit of a model alone.

    Args:
        config: as :func:`resolve_model_audit` gives it.
        texts: what the model is asked about.
        given: the model.
        progress: listener.
        name: of the texts, for a reader.

    Raises:
        UserError: the model or the encoder cannot be had, or there are too few texts.
    """
    started, deadline = time.monotonic(), Deadline(config["time_limit"])
    own = given.label_names or ()
    names = config["label_names"] or list(own)
    if own and len(names) != len(own):
        raise ConfigError(f"The model has {len(own)} classes, but {len(names)} class names were given: name all.")
    spec = TrainSpec(num_labels=len(names), max_len=config["max_len"], device=config["device"], seed=config["seed"])
    victim = given.open(spec)
    if isinstance(victim, TrainedClassifier):
        check_answers(config["model"], victim.model, victim.tokenizer, victim.spec.max_len)
    encoder = _encoder(config)
    known = vocabulary(load_tokenizer(MINILM)) if _packaged() and not isinstance(victim, TrainedClassifier) else {}
    finding = search_model(
        victim, texts, len(names), known=list(known), encoder=encoder,
        config=ModelSearchConfig(**config["search"]), seed=config["seed"], progress=progress, deadline=deadline,
    )  # fmt: skip
    results = results_of(
        finding, victim, config, name=name, label_names=names, seconds=time.monotonic() - started
    )
    return AuditResult(config, results, history_of(finding), [])


def _encoder(config: Mapping[str, Any]) -> Encoder | None:
    wanted = config["encoder"]
    if wanted == AUTO:
        wanted = MINILM if _packaged() else None
    return None if wanted is None else Embedder(str(wanted), max_len=config["max_len"], device=config["device"])


def _packaged() -> bool:
    try:
        minilm_folder()
    except MissingExtraError:
        return False
    return True
