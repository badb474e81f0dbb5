"""LLM backend for a local transformers model with a chat template.

Greedy decoding runs through ``model.generate``. Sampling does too: Gumbel noise from a generator of the
request's own is added to the scaled logits, and the largest of them is an exact draw from the softmax
(the Gumbel-max trick). So no global random state is read or changed, and what a request gets does not
depend on which others share its batch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.llm.config import LLMConfig
from openbackdoor_badllm.llm.dialect import sendable
from openbackdoor_badllm.llm.provider import Answer, Halted, OnAnswer
from openbackdoor_badllm.llm.reply import Completion, judge
from openbackdoor_badllm.llm.types import ChatRequest, Failed, Usage

logger = logging.getLogger(__name__)


class _Prepared(NamedTuple):
    place: int
    request: ChatRequest
    tokens: list[int]


class TransformersProvider:
    """Answers with a causal language model from the hub or a folder.

    Only safetensors weights are loaded, and never code that comes with a model.

    Args:
        config: model, device, dtype, batch size, top_p, seed.

    Raises:
        ConfigError: the model cannot be loaded, or has no chat template.
    """

    cacheable = True

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._device = _device(config.device)
        dtype = torch.float32 if self._device.type == "cpu" else "auto"
        if config.dtype != "auto":
            dtype = getattr(torch, config.dtype)
        folder = Path(config.model).expanduser()
        name = str(folder) if folder.is_dir() else config.model
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, padding_side="left")
            self._model = AutoModelForCausalLM.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True, dtype=dtype
            )
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ConfigError(f"llm.model: the model {config.model!r} cannot be loaded: {reason}") from None
        if not self._tokenizer.chat_template:
            raise ConfigError(
                f"llm.model: {config.model!r} has no chat template, so it is no chat model; "
                "take an instruction-tuned one."
            )
        self._model.to(self._device).eval()
        self._markers = _marker_pattern(self._tokenizer)
        self._ends = _end_tokens(self._tokenizer, self._model)
        pad = self._tokenizer.pad_token_id
        self._pad = int(pad) if pad is not None else min(self._ends, default=0)
        self._context = int(getattr(self._model.config, "max_position_embeddings", 0) or 0)

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer, halted: Halted) -> None:
        """See :class:`~.provider.Provider`; answers batch by batch, short prompts first."""
        ready: list[_Prepared] = []
        for index, request in enumerate(requests):
            tokens = self._encode(request)
            room = self._context - (request.max_tokens or 0)
            if self._context and len(tokens) > room:
                sentence = (
                    f"The prompt has {len(tokens)} tokens and the answer may have {request.max_tokens}, "
                    f"but the model takes {self._context} in all: lower llm.max_tokens or show it fewer rows."
                )
                on_answer(index, Answer(Failed("local", sentence), attempts=0))
            else:
                ready.append(_Prepared(index, request, tokens))
        ready.sort(key=lambda item: (item.request.max_tokens or 0, len(item.tokens), item.place))
        size = self._config.batch_size
        while ready:
            stop = halted()
            if stop is not None:
                for item in ready:
                    on_answer(item.place, Answer(stop, attempts=0))
                return
            # One limit a batch: a row that may go on would keep the others waiting.
            limit = ready[0].request.max_tokens
            batch = [item for item in ready[:size] if item.request.max_tokens == limit]
            begun = time.monotonic()
            try:
                completions = self._generate(batch)
            except torch.OutOfMemoryError:
                completions = None
            if completions is None:
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                if size == 1:
                    sentence = "The device has not the memory for a single conversation of this length."
                    on_answer(batch[0].place, Answer(Failed("local", sentence)))
                    ready = ready[1:]
                else:
                    size = max(1, size // 2)
                    logger.warning("Out of memory: going on with %d conversations at a time.", size)
                continue
            latency = time.monotonic() - begun
            for item, completion in zip(batch, completions, strict=True):
                on_answer(item.place, Answer(judge(completion, item.request), latency))
            ready = ready[len(batch) :]

    def identity(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`; for a folder with a mark of the files in it."""
        config = self._config
        return {
            "backend": "transformers",
            "model": config.model,
            "files": _folder_mark(Path(config.model).expanduser()),
            "top_p": config.top_p,
            "seed": config.seed,
        }

    def describe(self) -> dict[str, Any]:
        """See :class:`~.provider.Provider`."""
        return {**self.identity(), "device": str(self._device), "dtype": str(self._model.dtype)}

    def close(self) -> None:
        """See :class:`~.provider.Provider`."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, request: ChatRequest) -> list[int]:
        turns = [{"role": turn.role, "content": self._defuse(turn.content)} for turn in request.messages]
        try:
            text = self._render(turns)
        except jinja2.TemplateError:
            # Some templates know no system role: its text then opens the first turn of the user.
            text = self._render(_without_system(turns))
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turns: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _defuse(self, text: str) -> str:
        """Breaks up control tokens in a text: a row that holds one must not end its own turn."""
        return self._markers.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", sendable(text))

    @torch.inference_mode()
    def _generate(self, batch: Sequence[_Prepared]) -> list[Completion]:
        longest = max(len(item.tokens) for item in batch)
        rows = [[self._pad] * (longest - len(item.tokens)) + item.tokens for item in batch]
        masks = [[0] * (longest - len(item.tokens)) + [1] * len(item.tokens) for item in batch]
        output = self._model.generate(
            input_ids=torch.tensor(rows, device=self._device),
            attention_mask=torch.tensor(masks, device=self._device),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=batch[0].request.max_tokens,
                pad_token_id=self._pad,
                eos_token_id=sorted(self._ends) or None,
            ),
            logits_processor=LogitsProcessorList(
                [_GumbelDraw([item.request for item in batch], self._config.seed or 0, self._config.top_p)]
            ),
        )
        answers = output[:, longest:].tolist()
        return [self._completion(item, new) for item, new in zip(batch, answers, strict=True)]

    def _completion(self, item: _Prepared, new: list[int]) -> Completion:
        end = next((place for place, token in enumerate(new) if token in self._ends), None)
        answer = new if end is None else new[:end]
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        used = Usage(len(item.tokens), len(answer) + (end is not None))
        return Completion(text=text.strip(), finish_reason="length" if end is None else "stop", usage=used)


class _GumbelDraw(LogitsProcessor):  # type: ignore[misc]
    """Turns the greedy choice that follows it into a draw, for each row with its own temperature.

    Args:
        requests: one a row.
        seed: of the run.
        top_p: least probability of the tokens that may be drawn, or None for all.
    """

    def __init__(self, requests: Sequence[ChatRequest], seed: int, top_p: float | None) -> None:
        self._rows = [
            (request.temperature or 0.0, torch.Generator().manual_seed(_row_seed(request, seed)))
            for request in requests
        ]
        self._top_p = top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Logits, (rows, vocabulary), to noisy logits of the same shape."""
        drawn = scores.float().clone()
        for row, (temperature, generator) in enumerate(self._rows):
            if temperature <= 0:
                continue
            logits = _nucleus(drawn[row] / temperature, self._top_p)
            # Drawn on the CPU, so that a seed means the same on every device.
            uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-20, 1 - 1e-7).to(logits.device)
            drawn[row] = logits - torch.log(-torch.log(uniform))
        return drawn


def _nucleus(logits: torch.Tensor, top_p: float | None) -> torch.Tensor:
    """Shuts out all but the smallest set of tokens whose probability reaches ``top_p``; (vocabulary,)."""
    if top_p is None or top_p >= 1:
        return logits
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    out = torch.zeros_like(logits, dtype=torch.bool).scatter(0, order, before >= top_p)
    return logits.masked_fill(out, -torch.inf)


def _row_seed(request: ChatRequest, seed: int) -> int:
    question = [seed, request.sample, *([turn.role, turn.content] for turn in request.messages)]
    digest = hashlib.sha256(json.dumps(question).encode("ascii")).digest()
    return int.from_bytes(digest[:7], "big")


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"llm.device must be auto, cpu, cuda, cuda:N or mps, not {name!r}.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError('llm.device is "cuda", but torch sees no GPU here; take "auto" or "cpu".')
    return device


def _marker_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Finds the control tokens of a tokenizer in a text; one-character ones are no danger and stay."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    names = {str(token) for token in tokenizer.all_special_tokens}
    names |= {token.content for token in added.values() if token.special}
    long = sorted((name for name in names if len(name) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, long)) if long else r"(?!)")


def _end_tokens(tokenizer: Any, model: Any) -> frozenset[int]:
    """Tokens that end an answer, by the model's generation config and the tokenizer."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(int(token) for token in [*listed, tokenizer.eos_token_id] if token is not None)


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    rest = [dict(turn) for turn in turns if turn["role"] != "system"]
    if system and rest:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or [{"role": "user", "content": system}]


def _folder_mark(folder: Path) -> str | None:
    """A hash that changes when a model in a folder is replaced; None for a name on the hub."""
    if not folder.is_dir():
        return None
    kinds = (".json", ".jinja", ".safetensors", ".model")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    marks = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return hashlib.sha256(json.dumps(marks).encode("ascii", "backslashreplace")).hexdigest()[:16]
