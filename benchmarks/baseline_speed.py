"""How much faster the baselines are than one forward call per row, both measured in one run on the same rows.

    python benchmarks/baseline_speed.py [--rows 96] [--threads 1] [--data-root ../shared/data]

Prints a Markdown table: seconds of the clock, so the machine should have nothing else to do. Without real
rows it takes those of the demo corpus. The victim is MiniLM with a new head: how fast it is does not hang on what
it has learnt. That the answers are the same is measured, too.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openbackdoor_badllm.defenders.badacts.detection import NormalStates
from openbackdoor_badllm.defenders.bki.defender import BKI
from openbackdoor_badllm.defenders.onion.language_models import MaskedModel
from openbackdoor_badllm.openbackdoor.builtin import load_dataset
from openbackdoor_badllm.training.layers import first_token_states
from openbackdoor_badllm.training.representations import first_token_vectors
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer, supports_bf16

DELTA = 3.0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--float32", action="store_true", help="single rows in float32, as published")
    parser.add_argument("--bfloat16-weights", action="store_true", help="cast the weights once, not in each call")
    parser.add_argument("--data-root", type=Path, default=Path(__file__).parents[2] / "shared/data")
    parser.add_argument("--path", default="minilm", help="the victim's pretrained model")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    real = options.data_root.is_dir()
    data = load_dataset(name="sst-2", data_root=options.data_root) if real else load_dataset(name="demo")
    texts = [row.text for row in data["test"][: options.rows]]
    clean = [row.text for row in data["dev"][:100]]
    model, tokenizer = load_classifier(options.path, 2, seed=1), load_tokenizer(options.path)
    bf16 = supports_bf16(torch.device("cpu"))
    single = Scorer(model, tokenizer, max_len=128, batch_tokens=1, bf16=bf16 and not options.float32)
    if bf16 and options.bfloat16_weights:
        model, bf16 = copy.deepcopy(model).to(torch.bfloat16), False
    batched = Scorer(model, tokenizer, max_len=128, batch_tokens=options.batch_tokens, bf16=bf16)

    few = texts[: max(8, len(texts) // 8)]  # each is asked about once for each of its words
    told("BKI's words", lambda: tops(batched, few), lambda: tops(single, few))
    language_model = MaskedModel(options.path, device="cpu")
    words = [text.split() for text in few]

    def surprise(tokens: int) -> Any:
        language_model.batch_tokens = tokens
        return np.concatenate(language_model.surprise(words))

    told("ONION's words", lambda: surprise(options.batch_tokens), lambda: surprise(1))
    told("CUBE's vectors", lambda: first_token_vectors(batched, texts, pooled=True), lambda: lists(single, texts))
    states = NormalStates.fit(batched, clean)
    told(
        "BadActs' shares",
        lambda: states.share_inside(batched, texts, delta=DELTA),
        lambda: neuron_by_neuron(single, states, texts),
    )


def told(name: str, fast: Callable[[], Any], slow: Callable[[], Any]) -> None:
    """One line of the table."""
    fast()  # a first call allocates what later calls find there
    _quick, found = timed(fast)
    _long, expected = timed(slow)
    float(np.nanmax(np.abs(np.asarray(found, dtype=float) - np.asarray(expected, dtype=float))))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and the result."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def tops(scorer: Scorer, texts: list[str]) -> list[float]:
    """How far each row's strongest word moves it."""
    return [max(top.values()) for top in BKI()._tops(scorer, texts)]


def lists(scorer: Scorer, texts: list[str]) -> list[list[float]]:
    """Row by row into lists of floats, as OpenBackdoor does."""
    return [first_token_vectors(scorer, [text], pooled=True)[0].tolist() for text in texts]


def neuron_by_neuron(scorer: Scorer, states: NormalStates, texts: list[str]) -> list[float]:
    """Row by row and neuron by neuron, as published."""
    shares = []
    for text in texts:
        values = next(first_token_states(scorer, [text])).states[0].tolist()
        inside = 0
        for value, mean, deviation in zip(values, states.mean, states.deviation, strict=True):
            if mean - DELTA * deviation <= value <= mean + DELTA * deviation:
                inside += 1
        shares.append(inside / len(values))
    return shares


if __name__ == "__main__":
    main()
