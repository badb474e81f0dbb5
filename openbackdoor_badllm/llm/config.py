"""The ``"llm"`` block of a config: which language model answers, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.keys import (
    LITERAL_KEY_NAMES,
    LITERAL_KEY_SENTENCE,
    OPENAI_URL,
    check_variable_name,
    clean_url,
    looks_like_key,
)
from openbackdoor_badllm.section import Count, NotNegative, Positive, Section, Whole

if TYPE_CHECKING:
    from typing import Self


def _variable(name: str) -> str:
    check_variable_name(name)
    return name


def _no_key(value: str) -> str:
    if looks_like_key(value):
        raise ValueError(LITERAL_KEY_SENTENCE.format(name="{here}"))
    return value


def _without_keys(value: dict[str, Any]) -> dict[str, Any]:
    _refuse_literal_keys("llm.extra_body", value)
    return value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Visible = Annotated[str, AfterValidator(_no_key)]
"""Text that ends up in files and logs, so that no key must stand in it."""


class LLMConfig(Section):
    """Section ``defender.llm``: which language model answers, how it is asked, and the bounds of a run."""

    place: ClassVar[str] = "llm"
    discreet: ClassVar[bool] = True

    backend: Literal["openai", "transformers", "replay", "offline"] = "offline"
    """"openai" asks any OpenAI-compatible chat endpoint, "transformers" a model on this machine,
    "replay" a recording; "offline" asks no language model at all."""

    model: Visible = ""
    """Name of the model at the endpoint; for "transformers" a name on the hub or a folder."""

    base_url: Annotated[str, AfterValidator(clean_url)] = OPENAI_URL
    """Address of the endpoint up to ``/v1``. User info in it is cut."""

    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None
    """Name of the environment variable that holds the key, never the key itself. Servers on this
    machine need none."""

    temperature: Annotated[int | float, Field(ge=0, le=2)] = 0.7
    """Sampling temperature; 0 is greedy."""

    top_p: Annotated[int | float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling: the smallest set of tokens with this probability; None leaves it to the model."""

    seed: Whole | None = None
    """Sampling seed: sent to the endpoint where given (not every server takes one); "transformers"
    takes 0 for None."""

    max_tokens: Count = 2048
    """Most tokens of one answer, where a request does not say otherwise. Reasoning models think
    within this number: give them more."""

    json_mode: Literal["auto", "json_schema", "json_object", "plain"] = "auto"
    """How structured output is asked for: "auto" starts with a JSON schema and remembers what the
    server takes; the others start with what they name."""

    extra_body: Annotated[dict[str, Any], AfterValidator(_without_keys)] = Field(default_factory=dict)
    """Further fields of the request body, for instance
    ``{"chat_template_kwargs": {"enable_thinking": false}}`` for vLLM."""

    concurrency: Count = 8
    """Most requests in flight at a time."""

    timeout: Positive = 120.0
    """Seconds that one attempt may take, from the request to the last byte of the answer."""

    connect_timeout: Positive = 10.0
    """Seconds that reaching the server may take."""

    deadline: Positive = 600.0
    """Seconds that one request may take with all its attempts and waits."""

    max_attempts: Count = 5
    """Most attempts of one request that end in an error of the server or of the network. Being told
    to come back later (429) is no such error: that is bounded by ``deadline`` alone."""

    retry_wait: NotNegative = 1.0
    """Seconds before the second attempt; doubled for each further one, up to 60, with jitter."""

    max_calls: Count | None = 60
    """Most calls of a run. Calls that the cache answers count, so a second run ends where the first did."""

    max_tokens_total: Count | None = None
    """Most tokens of a run, prompts and answers together."""

    max_money: Positive | None = None
    """Most money of a run, in the currency of the prices; needs both prices."""

    max_seconds: Positive | None = None
    """Most seconds of a run, counted from the first call."""

    max_failures: Count | None = 4
    """So many calls in a row without a usable answer end the asking. A server that cannot be reached or fails ends it
    sooner: at the first call that was repeated in vain, or at the second in a row once there has been an answer."""

    required: bool = False
    """Whether a run in which the model took no part ends with exit code 2. Otherwise the verdict stands on statistics
    alone, and the report says so."""

    price_prompt: NotNegative | None = None
    """Price of a million prompt tokens."""

    price_completion: NotNegative | None = None
    """Price of a million completion tokens."""

    cache: Visible | None = None
    """The cache file; None puts ``llm.sqlite`` into the cache folder of the run."""

    transcript: Visible | None = None
    """The transcript file; None puts it where the run puts it."""

    replay: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """For "replay": transcripts, or files of recorded rewrites (JSON lines with ``text`` and ``rewrite``)."""

    device: str = "auto"
    """For "transformers": "auto", "cpu", "cuda", "cuda:1", "mps"."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """For "transformers": number format of the weights; "auto" is float32 on the CPU, else the model's."""

    batch_size: Count = 8
    """For "transformers": conversations answered in one pass; halved where memory does not suffice."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backend in ("openai", "transformers") and not self.model.strip():
            raise ValueError(f"'{{here}}.model' is missing: the backend '{self.backend}' needs the name of a model.")
        if self.backend == "replay" and not self.replay:
            raise ValueError("'{here}.replay' is missing: the backend 'replay' needs the path of a recording.")
        if self.required and self.backend == "offline":
            raise ValueError("'{here}.required' is true, but the backend 'offline' asks no language model.")
        if self.max_money is not None and (self.price_prompt is None or self.price_completion is None):
            raise ValueError(
                "'{here}.max_money' needs 'price_prompt' and 'price_completion' (for a million tokens each): "
                "a bound on money cannot hold while the price is unknown."
            )
        bounds = (self.max_calls, self.max_tokens_total, self.max_money, self.max_seconds)
        if all(bound is None for bound in bounds):
            raise ValueError(
                "'{here}' needs a bound: give 'max_calls', 'max_tokens_total', 'max_money' or 'max_seconds'."
            )
        return self


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
