"""A victim as a defender sees it, of either host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from openbackdoor_badllm.defenders.victim_view import answers_of, network_of
from openbackdoor_badllm.errors import VictimError
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.scoring import Scorer
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.victims import load_classifier, load_tokenizer


def test_the_victims_of_both_hosts_are_opened(kin: Callable[[str, int], Path]) -> None:
    folder = str(kin("bert", 1))
    model, tokenizer = load_classifier(folder, 2, seed=1), load_tokenizer(folder)
    trained = TrainedClassifier(model, tokenizer, TrainSpec(path="", max_len=7, device="cpu"))
    upstream = SimpleNamespace(plm=model, tokenizer=tokenizer, max_len=7)
    for victim in (trained, SimpleNamespace(trained=trained), upstream):
        opened = network_of(victim)
        assert (opened.model, opened.max_len) == (model, 7)
        assert answers_of(victim).logits(["a text"]).shape == (1, 2)
    own = Scorer(model, tokenizer, max_len=7)
    assert network_of(own) is own


def test_what_is_no_trained_victim_is_told() -> None:
    with pytest.raises(VictimError, match=r"^This victim has not been trained yet: run the attack first"):
        network_of(SimpleNamespace(trained=None))
    with pytest.raises(VictimError, match=r"^A defender was handed a NoneType: expected a victim"):
        network_of(None)
