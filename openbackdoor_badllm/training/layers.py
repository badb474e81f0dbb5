"""The layers of a victim's encoder: reading what they put out, and changing it on the way to the next one.

Layers are reached by forward hooks, so that a model of any depth is read without keeping what is not asked for.
In transformers 4 a layer returns a tuple, in transformers 5 a tensor; both are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.scoring import Scorer, collate, encode, length_batches

Change = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]


def encoder_layers(model: Any) -> list[torch.nn.Module]:
    """The blocks of a BERT, RoBERTa or DistilBERT (or kin), first to last; the embeddings are none of them.

    Raises:
        VictimError: the model has no such blocks.
    """
    encoder = getattr(model, "base_model", model)
    stack = getattr(encoder, "encoder", None) or getattr(encoder, "transformer", None)
    layers = getattr(stack, "layer", None)
    if not isinstance(layers, torch.nn.ModuleList) or not len(layers):
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise VictimError(
            f"The layers of a victim of the type '{kind}' cannot be reached: expected a BERT, RoBERTa or DistilBERT "
            "classifier."
        )
    return list(layers)


@contextmanager
def changed_layers(model: Any, change: Change) -> Iterator[None]:
    """Passes each block's output through ``change`` before the next block sees it.

    Args:
        model: a sequence classifier, called with ``attention_mask`` by keyword.
        change: gets the block's number (from 0), its output of shape ``(batch, tokens, hidden)`` and which tokens are
            attended, bool of shape ``(batch, tokens, 1)``; gives what goes on.
    """
    mask: list[torch.Tensor] = []

    def note(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        mask[:] = [inputs["attention_mask"].bool().unsqueeze(-1)]

    def hook(number: int) -> Callable[[Any, Any, Any], Any]:
        def replace(_module: Any, _args: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (change(number, output[0], mask[0]), *output[1:])
            return change(number, output, mask[0])

        return replace

    handles = [model.register_forward_pre_hook(note, with_kwargs=True)]
    try:
        for number, layer in enumerate(encoder_layers(model)):
            handles.append(layer.register_forward_hook(hook(number)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No parameter asks for a gradient and nothing drops out inside; both are put back as they were."""
    was_training = model.training
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
        model.train(was_training)


@contextmanager
def written_out_attention(model: Any) -> Iterator[None]:
    """Attention as matrix products inside, where the fused kernel would be taken: for passes that go back, on a CPU.

    The fused kernel's way back is slow there: a step of BadActs took 0.49 s of processor time with it, 0.32 s without
    (MiniLM, 32 rows of SST-2, bfloat16). It computes the same, but for rounding.
    """
    change = getattr(model, "set_attn_implementation", None)
    used = getattr(model.config, "_attn_implementation", None)
    if change is None or used != "sdpa" or next(model.parameters()).device.type != "cpu":
        yield
        return
    change("eager")
    try:
        yield
    finally:
        change(used)


class FirstTokens(NamedTuple):
    """What a batch left on its way through a victim; on the CPU, float32.

    Attributes:
        rows: indices into the texts.
        states: of the first token (``[CLS]``) after every block, first block first; shape ``(batch, layers * hidden)``.
        logits: shape ``(batch, num_labels)``: what came out in the end, at no further cost.
    """

    rows: list[int]
    states: torch.Tensor
    logits: torch.Tensor


def first_token_states(scorer: Scorer, texts: Sequence[str]) -> Iterator[FirstTokens]:
    """The hidden states of the first token (``[CLS]``) after every block, batch by batch."""
    model = scorer.model
    device = next(model.parameters()).device
    encoded = encode(scorer.tokenizer, texts, scorer.max_len)
    kept: list[torch.Tensor] = []

    def keep(_number: int, output: torch.Tensor, _mask: torch.Tensor) -> torch.Tensor:
        kept.append(output[:, 0].float())
        return output

    for batch in length_batches([len(ids) for ids in encoded], scorer.batch_tokens):
        inputs = collate([encoded[i] for i in batch], scorer.tokenizer.pad_token_id or 0)
        kept.clear()
        # Nothing stays changed while the caller works on a batch: the generator may never be asked for the next one.
        with (
            frozen(model),
            changed_layers(model, keep),
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=scorer.bf16),
        ):
            logits = model(**{name: value.to(device) for name, value in inputs.items()}).logits
        yield FirstTokens(batch, torch.cat(kept, dim=1).cpu(), logits.float().cpu())
