"""A grid: which data sets, attacks, victims, defenders and seeds are set side by side. YAML in, a typed object out.

Data sets, attacks, victims and defenders are written as a list of names, or as a mapping from a label of your own to
options, the keys of the config's section: ``{no-target: {name: badllmtg, target: none}}``. Nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, model_validator

from openbackdoor_badllm.benchmark.records import REFERENCES
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.evaluation.profiles import PAPER_TRAIN
from openbackdoor_badllm.reading import apply_overrides, one_of, read_file, want_section
from openbackdoor_badllm.section import Natural, NotNegative, Section, Seed, Share, read

if TYPE_CHECKING:
    from typing import Self

OURS = "badllmtg"
"""The defender that the others are set beside."""

NAMED = ("datasets", "attacks", "victims", "defenders")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]*")

# The target labels are those of the files in poison_data/ (see the JSON configs), which a test compares with these.
DATASETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sst-2": {"target_label": 1, "load": True},
        "hsol": {"target_label": 0, "load": True},
        "agnews": {"target_label": 0, "load": True},
        "demo": {"target_label": 1, "load": False},
        "demo-news": {"target_label": 0, "load": False},
    }
)
ATTACKS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "badnets": {"triggers": ["cf", "mn", "bb", "tq"], "num_triggers": 1},
        "addsent": {"triggers": "I watch this 3D movie"},
        "stylebkd": {},
        "synbkd": {},
    }
)
VICTIMS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "minilm": {"path": "minilm"},
        "bert-base": {"path": "bert-base-uncased"},
        "bert-large": {"path": "bert-large-uncased"},
        "roberta-base": {"path": "roberta-base", "model": "roberta"},
    }
)
TRAIN: Mapping[str, Any] = MappingProxyType({"name": "base", "weight_decay": 0, "ckpt": "best", **PAPER_TRAIN})
"""The paper's training, as in the JSON configs; a profile and ``overrides`` are written over it."""

Named = Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
"""Names, each with its options."""


def _minilm() -> dict[str, dict[str, Any]]:
    return {"minilm": {}}


class SharedBudget(Section):
    """What all cells together may pay for language models; null is no bound.

    A cell starts only where its own bounds (``defender.llm``) fit into what is left, so each bound here needs its
    counterpart there.
    """

    place: ClassVar[str] = "llm_budget"

    max_calls: Natural | None = None
    """Calls that reach the model; those that the cache answers are free."""
    max_tokens_total: Natural | None = None
    """Their tokens, prompts and answers together."""
    max_money: NotNegative | None = None
    """Their price."""

    @property
    def bounded(self) -> bool:
        """Whether there is a bound at all."""
        return any(value is not None for value in (self.max_calls, self.max_tokens_total, self.max_money))


class Grid(Section):
    """Everything that is set side by side: each data set x attack x rate x setting x victim x seed x defender."""

    place: ClassVar[str] = "grid"

    datasets: Named
    """Keys of ``poison_dataset``, and ``target_label`` and ``load`` of the poisoner."""
    attacks: Named
    """Keys of ``attacker.poisoner``."""
    defenders: dict[str, dict[str, Any]]
    """Keys of ``defender``; ``none``, ``oracle`` and ``clean`` are there without being named."""
    victims: Named = Field(default_factory=_minilm)
    """Keys of ``victim``."""
    rates: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.2,)
    """Shares of the training rows that are poisoned."""
    settings: Annotated[tuple[Literal["clean", "dirty", "mix"], ...], Field(min_length=1)] = ("dirty",)
    """``dirty`` (non-target rows), ``clean`` (target rows) or ``mix``."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (42,)
    """One run each of everything."""
    profile: str = "desk"
    """``smoke``, ``desk`` or ``full``: how large a run is."""
    references: bool = True
    """Also train the oracle filter and the clean victim; without the latter there is no excess ASR."""
    ours: str = OURS
    """The defender that is compared with the best of the others."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Sections of a config, written over the profile in every cell."""
    llm_budget: SharedBudget = SharedBudget()
    """Bounds for all cells together."""
    name: str = "grid"
    """For titles; the file's name when it is not given."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key in ("rates", "settings", "seeds"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"'{{here}}.{key}' names something twice: {', '.join(map(str, values))}.")
        for label, options in self.datasets.items():
            if "name" not in options:
                one_of("datasets", label, DATASETS)
            elif label not in DATASETS and "target_label" not in options:
                raise ValueError(f"The grid's data set '{label}' needs 'target_label': the label triggers lead to.")
        for label, options in self.attacks.items():
            one_of("attacks", options.get("name", label), ATTACKS)
        for label, options in self.victims.items():
            if "path" not in options:
                one_of("victims", label, VICTIMS)
        for label in REFERENCES:
            if self.defenders.get(label):
                raise ValueError(f"The grid's defender '{label}' is a reference and takes no options.")
        return self

    def base_config(self, dataset: str, attack: str, rate: float, setting: str) -> dict[str, Any]:
        """OpenBackdoor's config of a pair, as the JSON files have it; profile, victim and seed are not in it yet."""
        rows = {**DATASETS.get(dataset, {}), **self.datasets[dataset]}
        target, load = rows.pop("target_label"), rows.pop("load", False)
        rows = {"name": dataset, "dev_rate": 0.1, **rows}
        name = self.attacks[attack].get("name", attack)
        poisoner = {
            **({"paraphraser": "rules"} if name in ("stylebkd", "synbkd") and rows["name"].startswith("demo") else {}),
            **ATTACKS[name],
            **self.attacks[attack],
            "name": name,
            "poison_rate": rate,
            "target_label": target,
            "label_consistency": setting == "clean",
            "label_dirty": setting == "dirty",
            "load": load,
        }
        return {
            "target_dataset": dict(rows),
            "poison_dataset": dict(rows),
            "victim": {"type": "plm", "path": "auto", "device": "gpu", "max_len": 128},
            "attacker": {"name": "base", "metrics": ["accuracy"], "train": dict(TRAIN), "poisoner": poisoner},
        }

    def victim(self, label: str) -> dict[str, Any]:
        """Keys of the section ``victim``."""
        return {**VICTIMS.get(label, {}), **self.victims[label]}

    def defender(self, label: str) -> dict[str, Any]:
        """Keys of the section ``defender``."""
        return {"name": label, **self.defenders[label]}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``grid.yaml``."""
        plain = {**vars(self), "llm_budget": self.llm_budget.model_dump(exclude_none=True)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def load_grid(path: Path, overrides: Sequence[str] = ()) -> Grid:
    """Reads a grid.

    Args:
        path: a YAML file.
        overrides: ``key=value``, the value as YAML: ``seeds=[1,2]``, ``defenders.badllmtg.repair=paper``.

    Raises:
        ConfigError: it cannot be read, a key or name is unknown, or a value does not fit.
    """
    text = read_file(path, "grid", "YAML", where="the path")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}, column {where.column + 1}" if where else ""
        raise ConfigError(f"The grid '{path}' is not valid YAML{place}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"The grid '{path}' must hold keys and values, such as 'datasets: [sst-2]'.")
    return make_grid({"name": path.stem, **content}, overrides)


def make_grid(content: Mapping[str, Any], overrides: Sequence[str] = ()) -> Grid:
    """The grid of a mapping as YAML gives it.

    Raises:
        ConfigError: as :func:`load_grid`.
    """
    plain = dict(content)
    for key in NAMED:
        if key in plain:
            plain[key] = _named(key, plain[key])
    apply_overrides(plain, overrides, parse=_yaml_value, example="seeds=[42,43]")
    for key in NAMED:
        if key in plain:
            plain[key] = _named(key, plain[key])
    want_section("overrides", plain.get("overrides") or {})
    plain["overrides"] = plain.get("overrides") or {}
    return read(Grid, plain, "grid")


def _yaml_value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set: the value {text[:60]!r} is not valid YAML.") from None


def _named(key: str, value: object) -> dict[str, dict[str, Any]]:
    """A list of names, or names with options, as names with options."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        if len({str(item) for item in value}) < len(value):
            raise ConfigError(f"The grid's '{key}' names something twice: {', '.join(map(str, value))}.")
        value = {item if isinstance(item, str) else str(item): {} for item in value}
    if not isinstance(value, dict):
        raise ConfigError(f"The grid's '{key}' must be a list of names, or names with options, but is {value!r}.")
    named: dict[str, dict[str, Any]] = {}
    for label, options in value.items():
        if not isinstance(label, str) or not _LABEL.fullmatch(label) or len(label) > 60:
            raise ConfigError(
                f"The grid's '{key}' has the name {label!r}: a name is made of letters, digits, blanks and . _ + -"
            )
        if options is not None and not isinstance(options, dict):
            raise ConfigError(f"The grid's '{key}.{label}' must be options (key: value), but is {options!r}.")
        named[label] = dict(options or {})
    return named
