"""Cost estimate of a defence with an LLM; nothing is trained or sent."""

from __future__ import annotations

import copy
from typing import Any

from openbackdoor_badllm.config import BadLLMTGConfig
from openbackdoor_badllm.inversion.estimate import SearchEstimate, estimate_search
from openbackdoor_badllm.openbackdoor.builtin import load_dataset, set_config
from openbackdoor_badllm.rows import as_rows, blind
from openbackdoor_badllm.section import read


def estimate_run(config: dict[str, Any]) -> SearchEstimate | None:
    """The estimate for a resolved config; None where no language model is asked.

    Raises:
        ConfigError: a bad section.
        DataError: the rows cannot be read.
    """
    config = set_config(copy.deepcopy(config))
    section = config.get("defender")
    if not section or section.get("name") != "badllmtg":
        return None
    defender = read(BadLLMTGConfig, section, "defender")
    if defender.llm.backend == "offline" or defender.search.strategy == "random":
        return None
    rows = as_rows(load_dataset(**config["poison_dataset"])["train"])
    labels = 1 if defender.target_label is not None else defender.max_labels
    return estimate_search(defender.llm, defender.search, blind(rows), labels=labels)
