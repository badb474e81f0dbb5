"""The ``"llm"`` block of a config: which language model answers, and what it may cost."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.keys import (
    LITERAL_KEY_NAMES,
    LITERAL_KEY_SENTENCE,
    OPENAI_URL,
    check_variable_name,
    clean_url,
    looks_like_key,
)

BackendName = Literal["openai", "transformers", "replay", "offline"]
JsonMode = Literal["auto", "json_schema", "json_object", "plain"]


@dataclass(frozen=True)
class LLMConfig:
    """Which language model answers, how it is asked, and the bounds of a run.

    Every value is checked when the object is made; a wrong one raises
    :class:`~openbackdoor_badllm.errors.ConfigError` with a sentence that names the key.
    """

    backend: BackendName = "offline"
    """"openai" asks any OpenAI-compatible chat endpoint, "transformers" a model on this machine,
    "replay" a recording; "offline" asks no language model at all."""

    model: str = ""
    """Name of the model at the endpoint; for "transformers" a name on the hub or a folder."""

    base_url: str = OPENAI_URL
    """Address of the endpoint up to ``/v1``. User info in it is cut."""

    api_key_env: str | None = None
    """Name of the environment variable that holds the key, never the key itself. Servers on this
    machine need none."""

    temperature: float = 0.7
    """Sampling temperature; 0 is greedy."""

    top_p: float | None = None
    """Nucleus sampling: the smallest set of tokens with this probability; None leaves it to the model."""

    seed: int | None = None
    """Sampling seed: sent to the endpoint where given (not every server takes one); "transformers"
    takes 0 for None."""

    max_tokens: int = 2048
    """Most tokens of one answer, where a request does not say otherwise. Reasoning models think
    within this number: give them more."""

    json_mode: JsonMode = "auto"
    """How structured output is asked for: "auto" starts with a JSON schema and remembers what the
    server takes; the others start with what they name."""

    extra_body: dict[str, Any] = field(default_factory=dict, hash=False)
    """Further fields of the request body, for instance
    ``{"chat_template_kwargs": {"enable_thinking": false}}`` for vLLM."""

    concurrency: int = 8
    """Most requests in flight at a time."""

    timeout: float = 120.0
    """Seconds that one attempt may take, from the request to the last byte of the answer."""

    connect_timeout: float = 10.0
    """Seconds that reaching the server may take."""

    deadline: float = 600.0
    """Seconds that one request may take with all its attempts and waits."""

    max_attempts: int = 6
    """Most attempts of one request that end in an error of the server or of the network. Being told
    to come back later (429) is no such error: that is bounded by ``deadline`` alone."""

    retry_wait: float = 0.5
    """Seconds before the second attempt; doubled for each further one, up to 60, with jitter."""

    max_calls: int | None = 60
    """Most calls of a run. Calls that the cache answers count, so a second run ends where the first did."""

    max_tokens_total: int | None = None
    """Most tokens of a run, prompts and answers together."""

    max_money: float | None = None
    """Most money of a run, in the currency of the prices; needs both prices."""

    max_seconds: float | None = None
    """Most seconds of a run, counted from the first call."""

    max_failures: int | None = 8
    """So many calls in a row without a usable answer end the run."""

    price_prompt: float | None = None
    """Price of a million prompt tokens."""

    price_completion: float | None = None
    """Price of a million completion tokens."""

    cache: str | None = None
    """The cache file; None puts ``llm.sqlite`` into the cache folder of the run."""

    transcript: str | None = None
    """The transcript file; None puts it where the run puts it."""

    replay: tuple[str, ...] = ()
    """For "replay": transcripts, or files of recorded rewrites (JSON lines with ``text`` and ``rewrite``)."""

    device: str = "auto"
    """For "transformers": "auto", "cpu", "cuda", "cuda:1", "mps"."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """For "transformers": number format of the weights; "auto" is float32 on the CPU, else the model's."""

    batch_size: int = 8
    """For "transformers": conversations answered in one pass; halved where memory does not suffice."""

    def __post_init__(self) -> None:
        _check_types(self)
        set_ = object.__setattr__
        set_(self, "base_url", clean_url(self.base_url))
        if self.api_key_env is not None:
            check_variable_name(self.api_key_env)
        _refuse_literal_keys("extra_body", self.extra_body)
        for name in ("model", "cache", "transcript"):
            if looks_like_key(getattr(self, name)):
                raise ConfigError(LITERAL_KEY_SENTENCE.format(name=name))
        _check_ranges(self)
        _check_whole(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> LLMConfig:
        """Reads the ``"llm"`` block of a config.

        ``replay`` may be one path or a list of them.

        Raises:
            ConfigError: a key is unknown (the nearest one is suggested), holds a literal API key, or
                has a wrong value.
        """
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in mapping.items():
            if name not in known:
                raise ConfigError(_unknown(str(name), known))
            values[name] = value
        if isinstance(values.get("replay"), str):
            values["replay"] = (values["replay"],)
        elif isinstance(values.get("replay"), list):
            values["replay"] = tuple(values["replay"])
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """The config as JSON values; it never holds a key."""
        return {**asdict(self), "replay": list(self.replay)}


def _unknown(name: str, known: set[str]) -> str:
    if name.lower().replace("-", "_") in LITERAL_KEY_NAMES:
        return LITERAL_KEY_SENTENCE.format(name=name)
    if looks_like_key(name):
        name = "(hidden: it looks like a key)"
    near = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}."
    return f"llm.{name} is not a known key: {hint}"


# name: may it be None
_INTEGERS = {
    "seed": True, "max_tokens": False, "concurrency": False, "max_attempts": False, "max_calls": True,
    "max_tokens_total": True, "max_failures": True, "batch_size": False,
}  # fmt: skip
_NUMBERS = {
    "temperature": False, "top_p": True, "timeout": False, "connect_timeout": False, "deadline": False,
    "retry_wait": False, "max_money": True, "max_seconds": True, "price_prompt": True,
    "price_completion": True,
}  # fmt: skip
_STRINGS = {
    "model": False, "base_url": False, "api_key_env": True, "cache": True, "transcript": True,
    "device": False,
}  # fmt: skip
_CHOICES = {
    "backend": get_args(BackendName),
    "json_mode": get_args(JsonMode),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
}


def _check_types(config: LLMConfig) -> None:
    for name, choices in _CHOICES.items():
        value = getattr(config, name)
        if value not in choices:
            raise ConfigError(f"llm.{name} must be one of {', '.join(choices)}, not {_shown(value)}.")
    for name, optional in _STRINGS.items():
        _need(config, name, optional, str, "a string")
    for name, optional in _INTEGERS.items():
        _need(config, name, optional, int, "a whole number")
    for name, optional in _NUMBERS.items():
        value = _need(config, name, optional, (int, float), "a number")
        if value is not None and not math.isfinite(value):
            raise ConfigError(f"llm.{name} must be a finite number, not {value}.")
    if not isinstance(config.extra_body, dict):
        raise ConfigError(f"llm.extra_body must be an object, not {_shown(config.extra_body)}.")
    if not isinstance(config.replay, tuple) or not all(isinstance(path, str) for path in config.replay):
        raise ConfigError("llm.replay must be a path or a list of paths.")


def _need(config: LLMConfig, name: str, optional: bool, kind: type | tuple[type, ...], wanted: str) -> Any:
    value = getattr(config, name)
    if value is None and optional:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"llm.{name} must be {wanted}, not {_shown(value)}.")
    return value


def _shown(value: object) -> str:
    return "a string that looks like a key" if looks_like_key(value) else repr(value)[:60]


def _check_ranges(config: LLMConfig) -> None:
    positive = (
        "max_tokens", "concurrency", "timeout", "connect_timeout", "deadline", "max_attempts", "max_calls",
        "max_tokens_total", "max_money", "max_seconds", "max_failures", "batch_size",
    )  # fmt: skip
    for name in positive:
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ConfigError(f"llm.{name} must be greater than 0, not {value}.")
    for name in ("retry_wait", "price_prompt", "price_completion"):
        value = getattr(config, name)
        if value is not None and value < 0:
            raise ConfigError(f"llm.{name} must not be negative, but is {value}.")
    if not 0 <= config.temperature <= 2:
        raise ConfigError(f"llm.temperature must lie between 0 and 2, not {config.temperature}.")
    if config.top_p is not None and not 0 < config.top_p <= 1:
        raise ConfigError(f"llm.top_p must be greater than 0 and at most 1, not {config.top_p}.")


def _check_whole(config: LLMConfig) -> None:
    if config.backend in ("openai", "transformers") and not config.model.strip():
        raise ConfigError(f'llm.model is missing: the backend "{config.backend}" needs the name of a model.')
    if config.backend == "replay" and not config.replay:
        raise ConfigError('llm.replay is missing: the backend "replay" needs the path of a recording.')
    if config.max_money is not None and (config.price_prompt is None or config.price_completion is None):
        raise ConfigError(
            "llm.max_money needs llm.price_prompt and llm.price_completion (for a million tokens each): "
            "a bound on money cannot hold while the price is unknown."
        )
    bounds = (config.max_calls, config.max_tokens_total, config.max_money, config.max_seconds)
    if all(bound is None for bound in bounds):
        raise ConfigError(
            "A run needs a bound: give llm.max_calls, llm.max_tokens_total, llm.max_money or llm.max_seconds."
        )


def _refuse_literal_keys(where: str, value: Any) -> None:
    """Refuses a key hidden in the further fields of a request."""
    if isinstance(value, dict):
        for name, item in value.items():
            if str(name).lower().replace("-", "_") in LITERAL_KEY_NAMES:
                raise ConfigError(LITERAL_KEY_SENTENCE.format(name=f"{where}.{name}"))
            _refuse_literal_keys(f"{where}.{name}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_literal_keys(where, item)
    elif looks_like_key(value):
        raise ConfigError(LITERAL_KEY_SENTENCE.format(name=where))
