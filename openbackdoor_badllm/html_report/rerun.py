"""The command line and the config with which a run or an audit is made again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from openbackdoor_badllm.html_report.verdict_text import section


def rerunnable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as ``badllmtg defend`` takes it: ``references`` is an option of the command, not a section."""
    return {key: value for key, value in config.items() if key not in ("references", "lines")}


def defend_command(config: Mapping[str, Any]) -> str:
    """The command that makes a run again from its ``config.json``."""
    # The profile's keys are written into it already, and an override may have changed one of them: "full" adds none.
    words = ["badllmtg", "defend", "--config", "config.json", "--profile", "full"]
    if config.get("references") is False:
        words.append("--no-references")
    return shlex.join(words)


def audit_command(config: Mapping[str, Any]) -> str:
    """All of it on the command line; there is no file that an audit reads its config from."""
    rows, victim, defender = (section(config, name) for name in ("rows", "victim", "defender"))
    name = str(rows.get("name", ""))
    first = f"hf://{name[3:]}" if name.startswith("hf:") else rows.get("train_file", "ROWS")
    files = [str(first), *map(str, config.get("more_files") or ())]
    words = ["badllmtg", "audit", *files, "--victim", str(victim.get("path", "auto"))]
    for option, value in (("--test", rows.get("test_file")), ("--model", config.get("model"))):
        words += [option, str(value)] if value else []
    if isinstance(rows.get("label_names"), list):
        words += ["--label-names", ",".join(map(str, rows["label_names"]))]
    words += ["--from-scratch"] if defender.get("from_scratch") else []
    for option, key in (("--sample", "sample"), ("--time-limit", "time_limit")):
        words += [option, str(config[key])] if config.get(key) is not None else []
    words += ["--no-repair"] if config.get("repair_model") is False and not defender.get("from_scratch") else []
    told = {"text_column", "label_column"} & rows.keys()
    for name, keys, known in (
        ("rows", rows, {"name", "train_file", "test_file", "label_names", "dev_rate", "test_rate"} | told),
        ("victim", victim, {"path"}),
        ("train", section(config, "train"), set()),
        ("defender", defender, {"name", "seed", "from_scratch"}),
    ):
        for key, value in keys.items():
            words += [] if key in known else ["--set", f"{name}.{key}={json.dumps(value)}"]
    for key in sorted(told):
        words += [f"--{key.replace('_', '-')}", str(rows[key])]
    return shlex.join([*words, "--seed", str(config.get("seed", 42))])
