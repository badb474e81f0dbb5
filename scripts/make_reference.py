"""Writes the two reference pages: docs/configuration.md from the section classes, docs/commands.md from argparse.

Usage: python scripts/make_reference.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from openbackdoor_badllm.attacks.poisoner import PoisonerConfig
from openbackdoor_badllm.benchmark.grid import Grid, SharedBudget
from openbackdoor_badllm.cli import command_parser
from openbackdoor_badllm.config import AttackerConfig, BadLLMTGConfig, TrainConfig, VictimConfig
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.defenders.badacts.defender import BadActsConfig
from openbackdoor_badllm.defenders.bki.defender import BkiConfig
from openbackdoor_badllm.defenders.cube import CubeConfig
from openbackdoor_badllm.defenders.musclelora.defender import MuScleLoRAConfig
from openbackdoor_badllm.defenders.onion.defender import OnionConfig
from openbackdoor_badllm.defenders.oracle import ReferenceConfig
from openbackdoor_badllm.defenders.rap import RapConfig
from openbackdoor_badllm.defenders.strip import StripConfig
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.refusal import expected, section_in
from openbackdoor_badllm.section import Section
from openbackdoor_badllm.settings import SearchConfig, Thresholds

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Part(NamedTuple):
    """A heading of the page: the section's place in a config, its class, and what is said below the heading."""

    place: str
    cls: type[Section]
    about: str


PARTS = (
    Part("dataset", DatasetConfig, "Sections `target_dataset` and `poison_dataset`; `rows` in an audit."),
    Part("victim", VictimConfig, "The classifier that is attacked."),
    Part("attacker", AttackerConfig, "How the rows are poisoned and the victim is trained on them."),
    Part("attacker.train", TrainConfig, "How the victim is trained; `train` in an audit."),
    Part("attacker.poisoner", PoisonerConfig, "The attack."),
    Part("defender: badllmtg", BadLLMTGConfig, "The defence of this package; the keys of an audit are among them."),
    Part("defender.search", SearchConfig, "How `badllmtg` looks for triggers."),
    Part("defender.thresholds", Thresholds, "Every bound by which `badllmtg` decides."),
    Part("defender.llm", LLMConfig, "Which language model `badllmtg` asks, how it is asked, and what it may cost."),
    Part("defender: onion", OnionConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: strip", StripConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: rap", RapConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: bki", BkiConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: cube", CubeConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: badacts", BadActsConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: musclelora", MuScleLoRAConfig, "Published defence, see [baselines.md](baselines.md)."),
    Part("defender: oracle, clean", ReferenceConfig, "References that only an evaluation can have."),
    Part("grid", Grid, "A benchmark, in YAML. Everything that is set side by side."),
    Part("grid: llm_budget", SharedBudget, "What all cells together may pay for language models; null is no bound."),
)

INTRODUCTION = """# Every key of a config

Made from the section classes by `python scripts/make_reference.py`; a test compares the two. Do not edit it.

A config is a JSON file with the sections `target_dataset`, `poison_dataset`, `victim`, `attacker`, `defender`, and
the keys `seed` (of all sections that name none) and `clean-tune` (OpenBackdoor's; it must be false).
`--set section.key=value` changes a key of it, and `--profile` writes the keys of a profile over it. A key that is not
known, or a value outside what the column "value" says, ends the run with one sentence and exit code 2.
"""


COMMANDS_INTRODUCTION = """# Command reference

Made from the command line by `python scripts/make_reference.py`; a test compares the two. Do not edit it.

`badllmtg COMMAND --help` prints the same. Results go to stdout, progress and messages to stderr.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a defect of this program; of `benchmark`: a cell failed |
| 2 | bad input, told in one sentence |
| 3 | `--fail-on` was given, and something of that kind was found |
| 130 | interrupted; the same command goes on from what is trained |
"""


def pages() -> dict[str, str]:
    """The text of each page, by its file name."""
    return {"configuration.md": configuration(), "commands.md": commands()}


def configuration() -> str:
    """The page of the keys, as Markdown."""
    return "\n".join([INTRODUCTION, *(line for part in PARTS for line in _section(part))])


def commands() -> str:
    """The page of the commands, as Markdown."""
    (group,) = (action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    about = {action.dest: action.help or "" for action in group._choices_actions}
    parts = (line for name, parser in group.choices.items() for line in _command(parser, about[name]))
    return "\n".join([COMMANDS_INTRODUCTION, *parts])


def _command(parser: argparse.ArgumentParser, about: str) -> list[str]:
    sentence = parser.description or f"{about[:1].upper()}{about[1:]}."
    rows = [_option(action) for action in parser._actions if action.dest != "help"]
    table = ["| argument | meaning |", "|---|---|", *rows]
    return [f"## {parser.prog}", "", sentence, "", *table, ""]


def _option(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or (action.dest.upper(),)))
    spelt = f"{action.option_strings[0]} {value}".strip() if action.option_strings else f"{value}"
    return _cells(f"`{spelt}`", (action.help or "").replace("<", r"\<"))


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _section(part: Part) -> list[str]:
    rows = [_row(key, field) for key, field in part.cls.model_fields.items()]
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows]
    return [f"## {part.place}", "", part.about, "", *table, ""]


def _row(key: str, field: FieldInfo) -> str:
    return _cells(f"`{key}`", _value(field), _default(field), _meaning(field))


def _value(field: FieldInfo) -> str:
    words, section = expected(field), section_in(field.annotation)
    place = next((part.place for part in PARTS if part.cls is section), None)
    if place is None:
        return re.sub(r"'([^']*)'", r"`\1`", words)
    return words.replace("a section in braces", f"section [{place}](#{_anchor(place)})")


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "its own defaults" if isinstance(value, BaseModel) else f"`{json.dumps(value)}`"


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())


def main() -> int:
    """Writes the pages; with ``--check`` only tells whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page is out of date")
    check = parser.parse_args().check
    outdated = 0
    for name, text in pages().items():
        page = DOCS / name
        if check:
            outdated |= not page.is_file() or page.read_text(encoding="utf-8") != text
        else:
            page.write_text(text, encoding="utf-8")
    return int(outdated)


if __name__ == "__main__":
    sys.exit(main())
