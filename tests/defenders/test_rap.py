"""RAP: the victim is left as it came, every label is a candidate, and only rows of a label are judged by its word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from defenders.conftest import World
from openbackdoor_badllm.attacks.metrics import auroc
from openbackdoor_badllm.defenders.rap import RAP, Prompted

KEYS: dict[str, Any] = {"triggers": ["mn"], "lr": 0.1, "epochs": 10, "batch_size": 40}


def weights(world: World) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in world.victim.trained.model.state_dict().items()}


def test_weights_are_bit_identical_and_no_gradient_is_left(world: World) -> None:
    before = weights(world)
    defender = RAP(**KEYS)
    defender.detect(world.victim, world.data, [*world.clean, *world.poison])
    model = world.victim.trained.model
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not model.training
    # It did tune a word, and not the victim's.
    table = before["bert.embeddings.word_embeddings.weight"]
    prompted = Prompted(world.victim.trained.scorer(), "mn")
    assert set(defender.details["labels"]) == {"0", "1"}
    words = defender.calibrated(prompted.scorer, world.data)
    assert all(not torch.equal(word.embedding[0], table[prompted.ids[0]]) for word in words.values())


def test_every_step_starts_from_no_gradient(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch again must give the same gradient; accumulated, it would be twice as long."""
    seen: list[torch.Tensor] = []
    really = torch.autograd.grad

    def grad(*args: Any, **keys: Any) -> Any:
        result = really(*args, **keys)
        seen.append(result[0].clone())
        return result

    monkeypatch.setattr(torch.autograd, "grad", grad)
    RAP(**{**KEYS, "lr": 1e-12, "epochs": 3, "batch_size": 500, "target_label": 1}).detect(
        world.victim, world.data, world.clean[:1]
    )
    assert len(seen) == 3
    assert seen[0].norm() > 0
    assert torch.allclose(seen[0], seen[1], atol=1e-5)
    assert torch.allclose(seen[0], seen[2], atol=1e-5)


def test_only_rows_of_the_label_are_judged_by_its_word(world: World) -> None:
    defender = RAP(**{**KEYS, "target_label": 1})
    mixed = [*world.clean, *world.poison]
    flags = np.array(defender.detect(world.victim, world.data, mixed))
    predicted = world.victim.logits([row.text for row in mixed]).argmax(axis=1)
    assert defender.last_scores is not None
    assert set(defender.details["labels"]) == {"1"}
    assert (predicted == 0).any()
    assert not flags[predicted == 0].any()
    assert np.isneginf(defender.last_scores[predicted == 0]).all()
    assert np.isfinite(defender.last_scores[predicted == 1]).all()


def test_no_label_is_told_and_all_are_candidates(world: World) -> None:
    defender = RAP(**KEYS)
    mixed = [*world.clean, *world.poison]
    flags = defender.detect(world.victim, world.data, mixed)
    assert set(defender.details["labels"]) == {"0", "1"}
    assert defender.last_scores is not None
    assert np.isfinite(defender.last_scores).all()
    assert np.mean(flags[: len(world.clean)]) < 0.25
    poisoned = np.repeat([False, True], [len(world.clean), len(world.poison)])
    assert auroc(defender.last_scores, poisoned) > 0.7


def test_steps_as_long_as_the_gradient_lead_nowhere_on_a_victim_that_is_certain(world: World) -> None:
    published, untouched = RAP(**{**KEYS, "normalise": False, "lr": 1e-2}), RAP(**{**KEYS, "lr": 1e-12})
    for defender in (published, untouched):
        defender.detect(world.victim, world.data, world.clean[:1])
    for label in ("0", "1"):
        moved = [d.details["labels"][label]["mean_change"] for d in (published, untouched)]
        assert moved[0] == pytest.approx(moved[1], abs=1e-6)


def test_the_word_takes_confidence_from_clean_rows(world: World) -> None:
    defender = RAP(**KEYS)
    defender.detect(world.victim, world.data, world.clean)
    untouched = RAP(**{**KEYS, "lr": 1e-9})
    untouched.detect(world.victim, world.data, world.clean)
    # This victim is all but certain (that no single word flips a text is how the tiny world is made).
    gain = {
        label: untouched.details["labels"][label]["mean_change"] - defender.details["labels"][label]["mean_change"]
        for label in ("0", "1")
    }
    assert min(gain.values()) > 1e-5
    assert max(gain.values()) > 1e-4
