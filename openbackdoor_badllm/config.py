"""Configurations: typed, checked when made, a misspelt key refused.

OpenBackdoor's JSON passes whole sections as keyword arguments and swallows what it does not know; a misspelt key is
silently a default there. Here each section is a dataclass whose fields carry their documentation.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from openbackdoor_badllm.engine.training import TrainSpec
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.inversion.findings import SearchConfig
from openbackdoor_badllm.inversion.repair import STRATEGIES
from openbackdoor_badllm.llm.config import LLMConfig

T = TypeVar("T")


@dataclass(frozen=True)
class VictimConfig:
    """Section ``victim``: the classifier that is attacked."""

    type: str = "plm"
    """Only ``plm``: a pretrained language model with a classification head."""
    model: str = "bert"
    """OpenBackdoor's name of the encoder's attribute; not needed here, kept for the real framework."""
    path: str = "auto"
    """Hub name or folder of a Hugging Face model; ``minilm`` is the packaged 6-layer BERT; ``auto`` is
    ``bert-base-uncased`` where it can be had, else ``minilm``."""
    num_classes: int | None = None
    """Number of classes; taken from the data when it is not given."""
    device: str = "gpu"
    """``gpu`` (where there is one) or ``cpu``."""
    max_len: int = 512
    """Tokens kept of a text."""

    def __post_init__(self) -> None:
        one_of("victim.type", self.type, ("plm",))
        one_of("victim.device", self.device, ("gpu", "cpu", "cuda"))
        at_least("victim.max_len", self.max_len, 4)
        if self.num_classes is not None:
            at_least("victim.num_classes", self.num_classes, 2)


@dataclass(frozen=True)
class TrainConfig:
    """Section ``attacker.train``: how a victim is trained."""

    name: str = "base"
    """Only ``base``."""
    lr: float = 2e-5
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    epochs: int = 10
    """Passes through the rows."""
    batch_size: int = 32
    """Rows of one optimisation step on one device."""
    gradient_accumulation_steps: int = 1
    """Batches of one optimisation step."""
    max_grad_norm: float = 1.0
    """Clipping of the global gradient norm."""
    warm_up_epochs: float = 3
    """Epochs of linear warm-up, at most half of ``epochs``; then the rate falls linearly to 0."""
    ckpt: str = "best"
    """``best`` by accuracy on the clean dev rows (never the poisoned ones), or ``last``."""
    loss_function: str = "ce"
    """Only ``ce``, cross-entropy."""
    save_path: str = "./models"
    """Used by the real OpenBackdoor; the built-in host keeps trained models in its cache."""
    precision: str = "auto"
    """``auto`` (bfloat16 where it is a gain), ``bf16`` or ``fp32``."""
    seed: int | None = None
    """Seed of the training; the run's seed when it is not given."""
    visualize: bool = False
    """Only for the real OpenBackdoor; must be false here."""
    poison_setting: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_method: str | None = None
    """Used by the real OpenBackdoor to name its folders."""
    poison_rate: float | None = None
    """Used by the real OpenBackdoor to name its folders."""

    def __post_init__(self) -> None:
        one_of("train.name", self.name.lower(), ("base",))
        one_of("train.ckpt", self.ckpt, ("best", "last"))
        one_of("train.loss_function", self.loss_function, ("ce",))
        one_of("train.precision", self.precision, ("auto", "bf16", "fp32"))
        at_least("train.epochs", self.epochs, 1)
        at_least("train.batch_size", self.batch_size, 1)
        at_least("train.gradient_accumulation_steps", self.gradient_accumulation_steps, 1)
        at_least("train.warm_up_epochs", self.warm_up_epochs, 0)
        at_least("train.weight_decay", self.weight_decay, 0)
        for key in ("lr", "max_grad_norm"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"'train.{key}' must be above 0 and finite, but is {getattr(self, key)}.")
        if self.seed is not None:
            check_seed("train.seed", self.seed)
        if self.visualize:
            raise ConfigError("'train.visualize' draws pictures in the real OpenBackdoor only: set it to false.")


def train_spec(victim: VictimConfig, train: TrainConfig, *, num_labels: int, seed: int, path: str) -> TrainSpec:
    """The engine's spec of a training; ``path`` is the victim's path with ``auto`` resolved."""
    return TrainSpec(
        path=path,
        num_labels=num_labels,
        max_len=victim.max_len,
        lr=train.lr,
        weight_decay=train.weight_decay,
        epochs=train.epochs,
        batch_size=train.batch_size,
        warm_up_epochs=train.warm_up_epochs,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        max_grad_norm=train.max_grad_norm,
        ckpt=train.ckpt,
        device="cpu" if victim.device == "cpu" else "gpu",
        precision=train.precision,
        seed=train.seed if train.seed is not None else seed,
    )


@dataclass(frozen=True)
class BadLLMTGConfig:
    """Section ``defender`` with ``"name": "badllmtg"``."""

    name: str = "badllmtg"
    """The name under which it is registered."""
    pre: bool = True
    """It repairs the training rows before the victim is trained; only true."""
    correction: bool = False
    """OpenBackdoor's key for defences at test time; only false."""
    metrics: tuple[str, ...] = ("FRR", "FAR")
    """OpenBackdoor's key for detectors; not used."""
    target: str = "robust"
    """Stage (a): ``robust``, ``paper`` (Eq. 4 to the letter) or ``none`` (left out; an ablation)."""
    target_label: int | None = None
    """Skip stage (a) and take this label."""
    max_labels: int = 4
    """Labels searched at most, most suspicious first, until one has a trigger."""
    trace_points: int = 20
    """Points of the confidence trace of stage (a)."""
    trace_rows: int = 1000
    """Rows watched by the trace at most."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Stage (b): see the keys of ``defender.search``."""
    repair: str = "relabel"
    """Stage (c): ``relabel``, ``purge``, ``stamp-non-target``, ``paper`` (Eq. 9 to the letter) or ``none``."""
    stamp_share: float = 0.1
    """Share of the unexplained rows that ``relabel`` and ``purge`` add with the trigger and their own label."""
    llm: LLMConfig = field(default_factory=LLMConfig)
    """What proposes triggers: ``{"backend": "offline"}`` (default) mines the rows and asks no language model."""
    victim: VictimConfig | None = None
    """The probe's model; the attacked victim's when it is not given."""
    train: TrainConfig | None = None
    """The probe's training; the attacked victim's when it is not given."""
    seed: int = 42
    """Seed of everything that the defender draws; it has generators of its own."""

    def __post_init__(self) -> None:
        if not self.pre or self.correction:
            raise ConfigError("'badllmtg' repairs training rows: set 'pre' to true and 'correction' to false.")
        one_of("defender.target", self.target, ("robust", "paper", "none"))
        one_of("defender.repair", self.repair, STRATEGIES)
        at_least("defender.max_labels", self.max_labels, 1)
        at_least("defender.trace_points", self.trace_points, 4)
        at_least("defender.trace_rows", self.trace_rows, 20)
        check_seed("defender.seed", self.seed)
        if self.target_label is not None:
            at_least("defender.target_label", self.target_label, 0)
        for item in dataclasses.fields(self.search):
            if type(value := getattr(self.search, item.name)) is int:
                at_least(f"defender.search.{item.name}", value, 1)
        if not 0 <= self.search.accept_flip_rate <= 1:
            raise ConfigError(
                f"'defender.search.accept_flip_rate' must lie in 0 to 1, but is {self.search.accept_flip_rate}."
            )
        if self.search.strategy == "paper" and self.llm.backend == "offline":
            raise ConfigError(
                "'defender.search.strategy' is 'paper', which needs a language model: set 'defender.llm.backend' to "
                "openai, transformers or replay."
            )
        if not 0 <= self.stamp_share <= 1:
            raise ConfigError(f"'defender.stamp_share' must lie in 0 to 1, but is {self.stamp_share}.")


def read(cls: type[T], section: Mapping[str, Any], where: str) -> T:
    """Makes a config dataclass from a section of JSON or YAML.

    Args:
        cls: the dataclass.
        section: the section.
        where: its name in messages, for instance ``"attacker.train"``.

    Raises:
        ConfigError: the section is no mapping, a key is unknown, or a value has the wrong type.
    """
    want_section(where, section)
    hints = typing.get_type_hints(cls)
    known = [item.name for item in dataclasses.fields(cls)]  # type: ignore[arg-type]
    refuse_unknown(section, known, where)
    values = {key: _fit(hints[key], value, f"{where}.{key}") for key, value in section.items()}
    return cls(**values)


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuses a key that is not known, naming the nearest one.

    Raises:
        ConfigError: there is such a key.
    """
    names = sorted(known)
    for key in keys:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it knows {', '.join(names)}."
            raise ConfigError(f"'{where}' has no key '{key}': {hint}")


def one_of(where: str, value: object, allowed: Iterable[object]) -> None:
    """Refuses a value that is not among the allowed ones.

    Raises:
        ConfigError: it is not.
    """
    choices = list(allowed)
    if value not in choices:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise ConfigError(f"'{where}' must be {_either(choices)}, but is {_shown(value)}{hint}")


def at_least(where: str, value: float, least: float) -> None:
    """Refuses a number below a bound.

    Raises:
        ConfigError: it is below.
    """
    if not value >= least:
        raise ConfigError(f"'{where}' must be at least {least}, but is {value}.")


def check_seed(where: str, value: object) -> None:
    """Refuses what NumPy and torch do not take for a seed.

    Raises:
        ConfigError: it is no whole number from 0 to 2**32 - 1.
    """
    if type(value) is not int or not 0 <= value < 2**32:
        raise ConfigError(f"'{where}' must be a whole number from 0 to 4294967295, but is {_shown(value)}.")


def want_section(where: str, value: object) -> None:
    """Refuses what is no section in braces.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"'{where}' must be a section in braces, but is {_shown(value)}.")


def load_json(path: Path) -> dict[str, Any]:
    """A config file as a dict.

    Raises:
        ConfigError: missing, unreadable, or not JSON.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"The config file '{path}' does not exist: check the path after --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"The config file '{path}' cannot be read ({reason}): name a JSON file.") from None
    try:
        config = json.loads(content)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"The config file '{path}' is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        raise ConfigError(
            f"The config file '{path}' is not valid JSON: it is nested too deeply or holds a huge number."
        ) from None
    if not isinstance(config, dict):
        raise ConfigError(f"The config file '{path}' must hold an object in braces, but holds {_shown(config)}.")
    return config


def apply_overrides(config: dict[str, Any], overrides: Iterable[str]) -> None:
    """Writes ``key.path=value`` into a config; the value is read as JSON, else taken as text.

    Raises:
        ConfigError: an override has no ``=``, or its path goes through something that is no section.
    """
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign or not path.strip():
            raise ConfigError(f"--set expects key=value, for instance defender.repair=paper, but got '{override}'.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        put(config, path.strip(), value)


def put(config: dict[str, Any], path: str, value: object) -> None:
    """Writes a value at a dotted path, making sections on the way.

    Raises:
        ConfigError: the path goes through something that is no section.
    """
    *sections, key = path.split(".")
    place: Any = config
    for name in sections:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ConfigError(f"'{path}' cannot be set: '{name}' is {_shown(place)}, not a section.")
    place[key] = value


def _fit(hint: Any, value: Any, where: str) -> Any:
    """The value as the field's type wants it; JSON has no tuples and writes 1 for 1.0."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        if isinstance(value, str) and str in options:
            return value
        return _fit(next(option for option in options if option is not type(None)), value, where)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise ConfigError(f"'{where}' must be a list, but is {_shown(value)}.")
        return tuple(_fit(typing.get_args(hint)[0], item, where) for item in value)
    if hint is LLMConfig:  # it checks itself, and never shows a value that looks like a key
        if isinstance(value, Mapping):
            return LLMConfig.from_mapping(value)
        if not isinstance(value, LLMConfig):
            raise ConfigError(f"'{where}' must be a section in braces.")
        return value
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else read(typing.cast(Any, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint in (int, float, str, bool) and (type(value) is not hint):
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        raise ConfigError(f"'{where}' must be {names[hint]}, but is {_shown(value)}.")
    return value


def _either(choices: list[object]) -> str:
    shown = [f"'{choice}'" for choice in choices]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
