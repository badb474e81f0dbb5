"""What a classifier must be able to do, tried on two texts before anything is trained or searched."""

from __future__ import annotations

from typing import Any

import numpy as np

from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.scoring import Scorer, encode, softmax

TEXTS = ("good", "a longer text of a good many words , so that the shorter one has to be padded beside it")
SAME = 0.02
"""Most by which a probability may change with the texts beside it: rounding is far below."""


def check_answers(path: str, model: Any, tokenizer: Any, max_len: int) -> None:
    """Refuses a classifier that cannot be asked.

    Args:
        path: its name, for the message.
        model: the classifier, with its padding settled.
        tokenizer: its tokenizer.
        max_len: tokens kept of a text.

    Raises:
        VictimError: its tokens are the same for other texts, it cannot take texts of several lengths at once or answers
            them otherwise than one by one, or its answers are no numbers.
    """
    scorer = Scorer(model, tokenizer, max_len=max_len)
    try:
        first, second = encode(tokenizer, TEXTS, max_len)
        together, alone = scorer.logits(TEXTS), scorer.logits(TEXTS[:1])
    except Exception as error:  # whatever the code of any architecture raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise VictimError(
            f"The model '{path}' cannot classify two texts of different length ({reason}): name a sequence classifier "
            "with its own tokenizer."
        ) from error
    if first == second:
        raise VictimError(
            f"The tokenizer of '{path}' makes the same tokens of different texts: save the model's own one beside it."
        )
    if not np.isfinite(together).all():
        raise VictimError(f"The model '{path}' answers with numbers that are infinite or none: save its weights again.")
    if np.abs(softmax(together)[0] - softmax(alone)[0]).max() > SAME:
        raise VictimError(
            f"The model '{path}' answers a text otherwise when a longer one stands beside it: its config.json and its "
            f"tokenizer should have one padding token, but have {model.config.pad_token_id} and "
            f"{tokenizer.pad_token_id}."
        )
