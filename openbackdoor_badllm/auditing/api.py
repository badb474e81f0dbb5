"""``audit``: one line of Python for what ``badllmtg audit`` does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from openbackdoor_badllm.auditing.inputs import GivenRows, as_given_rows
from openbackdoor_badllm.auditing.models import as_given_model
from openbackdoor_badllm.auditing.result import AuditResult
from openbackdoor_badllm.data.structured import table_from_columns
from openbackdoor_badllm.evaluation.audit_config import resolve_audit
from openbackdoor_badllm.evaluation.audit_rows import MEMORY
from openbackdoor_badllm.evaluation.audit_run import AuditRun, Outcome
from openbackdoor_badllm.evaluation.console import ConsoleProgress
from openbackdoor_badllm.training.store import Store

# Without a handler of the caller's, Python would print this package's warnings beside the answer.
logging.getLogger("openbackdoor_badllm").addHandler(logging.NullHandler())


def audit(
    texts: Any,
    labels: Any = None,
    *,
    model: Any = None,
    llm: Mapping[str, Any] | None = None,
    victim: str | Mapping[str, Any] = "auto",
    text_column: str | None = None,
    label_column: str | None = None,
    label_names: Sequence[str] | None = None,
    sample: int | None = None,
    time_limit: float | None = None,
    random_state: int = 42,
    cache: str | Path | None = None,
    progress: bool = False,
    defender: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> AuditResult:
    """Looks for a backdoor in labelled texts, and in a classifier that was trained on them.

    Args:
        texts: a list, tuple, NumPy array or pandas Series; or a pandas DataFrame or a ``datasets.Dataset`` with the
            labels in another column.
        labels: whole numbers or class names, one for each text; left out where ``texts`` holds them.
        model: a classifier that was trained on the rows: folder or hub name, a pair (transformers model, tokenizer), a
            transformers pipeline, or any callable from a list of texts to logits or probabilities of shape
            ``(n, classes)``. Without one a victim is trained on the rows.
        llm: keys of the section ``defender.llm``, such as ``{"backend": "openai", "model": ...}``; none is asked
            without.
        victim: pretrained model of the victim that is trained here, or keys of the section ``victim``.
        text_column: column of the texts in a DataFrame or Dataset; ``label_column`` that of the labels.
        label_names: class names in the order of their indices, and of the outputs of ``model``.
        sample: so many rows (at most 5,000 when None), drawn by label, are trained on and searched; then all rows are
            scanned.
        time_limit: seconds after which no further label is searched; one always is.
        random_state: seed of everything that is drawn; no global generator is touched.
        cache: folder where trained victims are kept; nothing is kept when None.
        progress: tell it on stderr.
        defender: further keys of the section ``defender``.
        train: keys of the section ``train``.

    Raises:
        UserError: something does not fit; its text is one sentence that says what, and how to mend it.
    """
    rows = as_given_rows(texts, labels, text_column, label_column)
    given, named = as_given_model(model, rows.texts)
    names = tuple(map(str, label_names)) if label_names is not None else rows.label_names
    keys = dict(defender or {})
    config = resolve_audit(
        {"name": MEMORY, **({"label_names": list(names)} if names is not None else {})},
        model=named,
        victim=victim,
        defender={**keys, **({"llm": dict(llm)} if llm is not None else {})},
        seed=random_state,
        sample=sample,
        time_limit=time_limit,
        train=dict(train) if train is not None else None,
        repair_model=False,
    )
    store = Store(Path(cache)) if cache is not None else None
    table = table_from_columns(rows.texts, rows.labels, "the rows", first_number=0)
    with ConsoleProgress(Console(stderr=True), quiet=not progress) as listener:
        outcome = AuditRun(config, store, listener, table, given).audit()
    return _result(config, outcome, rows, in_memory=given is not None, cache=cache)


def _result(
    config: dict[str, Any], outcome: Outcome, rows: GivenRows, *, in_memory: bool, cache: str | Path | None
) -> AuditResult:
    from openbackdoor_badllm.auditing.repairing import Repairing

    repairing = None
    if outcome.plan is not None:
        repairing = Repairing(
            config, outcome.rows, outcome.plan, outcome.report.repair.examples, in_memory,
            None if cache is None else Path(cache), outcome.victim,
        )
    return AuditResult(config, outcome.results, outcome.search, outcome.records, rows, repairing)
