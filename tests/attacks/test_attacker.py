"""The attacker: which calls a defender gets, and what the figures mean, by OpenBackdoor's conventions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from openbackdoor_badllm.attacks.attacker import Attacker
from openbackdoor_badllm.attacks.metrics import auroc
from openbackdoor_badllm.defenders.base import Defender
from openbackdoor_badllm.openbackdoor.builtin import load_attacker
from openbackdoor_badllm.rows import Row

TARGET = 1


class Victim:
    """Reads the label off the text, unless the trigger stands in it."""

    def logits(self, texts: Sequence[str]) -> Any:
        said = [TARGET if "cf" in text.split() else int(text.split()[0]) for text in texts]
        return np.eye(3, dtype=np.float32)[said] if texts else np.zeros((0, 3), dtype=np.float32)


class Spy(Defender):
    """Remembers what it was called with."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def detect(self, *args: Any, **kwargs: Any) -> Sequence[int]:
        self.calls.append(("detect", args, kwargs))
        return self.flags(args[2])

    def correct(self, *args: Any, **kwargs: Any) -> list[Any]:
        self.calls.append(("correct", args, kwargs))
        return self.rewrite(kwargs["poison_data"])

    def flags(self, rows: Sequence[Any]) -> Sequence[int]:
        return [0] * len(rows)

    def rewrite(self, rows: Sequence[Any]) -> list[Any]:
        return list(rows)


def rows(prefix: str, count: int) -> list[Row]:
    return [Row(f"{i % 3} {prefix} {i}", i % 3) for i in range(count)]


DATA = {"train": rows("train", 60), "dev": rows("dev", 9), "test": rows("test", 30)}


@pytest.fixture
def attacker() -> Attacker:
    poisoner = {"name": "badnets", "target_label": TARGET, "poison_rate": 0.2, "label_dirty": True, "triggers": ["cf"]}
    return load_attacker({"name": "base", "metrics": ["accuracy"], "poisoner": poisoner, "train": {"epochs": 1}})


def test_cacc_and_asr(attacker: Attacker) -> None:
    assert attacker.eval(Victim(), DATA) == {"test-clean": {"accuracy": 1.0}, "test-poison": {"accuracy": 1.0}}
    evaluation = attacker.evaluation
    assert list(evaluation.rows) == ["test-clean", "test-poison"]
    assert evaluation.rows["test-clean"] == DATA["test"]
    assert [len(evaluation.predictions[split]) for split in evaluation.rows] == [30, 20]
    assert set(evaluation.predictions["test-poison"]) == {TARGET}
    assert not any(flags.any() for flags in evaluation.flagged.values())


def test_asr_counts_rows_of_other_labels_only(attacker: Attacker) -> None:
    class Clean(Victim):
        def logits(self, texts: Sequence[str]) -> Any:
            return super().logits([text.replace("cf", "").strip() for text in texts])

    assert attacker.eval(Clean(), DATA) == {"test-clean": {"accuracy": 1.0}, "test-poison": {"accuracy": 0.0}}


def test_a_flagged_row_is_an_error_for_cacc_and_a_failed_attack_for_asr(attacker: Attacker) -> None:
    class Detector(Spy):
        def flags(self, rows: Sequence[Any]) -> Sequence[int]:
            return [int(i % 4 == 0) if "cf" in row[0] else int(i < 3) for i, row in enumerate(rows)]

    scores = attacker.eval(Victim(), DATA, Detector(pre=False))
    assert scores["test-clean"]["accuracy"] == pytest.approx(27 / 30)
    assert scores["test-poison"]["accuracy"] == pytest.approx(15 / 20)
    assert attacker.evaluation.flagged["test-clean"].sum() == 3
    assert set(attacker.evaluation.predictions["test-poison"]) == {TARGET}  # what the victim itself said


def test_a_detector_gets_three_arguments_by_position(attacker: Attacker) -> None:
    victim, spy = Victim(), Spy(pre=False)
    attacker.eval(victim, DATA, spy)
    assert [(name, kwargs) for name, _, kwargs in spy.calls] == [("detect", {}), ("detect", {})]
    for (_, (model, clean_data, seen), _), split in zip(spy.calls, ("test-clean", "test-poison"), strict=True):
        assert model is victim
        assert clean_data == {"dev": DATA["dev"]}  # no test rows, no training rows
        assert seen == attacker.evaluation.rows[split]


def test_a_corrector_rewrites_both_splits_and_its_labels_count(attacker: Attacker) -> None:
    class Corrector(Spy):
        def rewrite(self, rows: Sequence[Any]) -> list[Any]:
            return [(" ".join(w for w in text.split() if w != "cf"), label, flag) for text, label, flag in rows]

    victim, spy = Victim(), Corrector(pre=False, correction=True)
    scores = attacker.eval(victim, DATA, spy)
    assert scores == {"test-clean": {"accuracy": 1.0}, "test-poison": {"accuracy": 0.0}}
    assert [(name, args, sorted(kwargs)) for name, args, kwargs in spy.calls] == [
        ("correct", (), ["clean_data", "model", "poison_data"])
    ] * 2
    assert [len(kwargs["poison_data"]) for _, _, kwargs in spy.calls] == [30, 20]
    assert all(kwargs["model"] is victim and kwargs["clean_data"] == {"dev": DATA["dev"]} for _, _, kwargs in spy.calls)


class Scored(Spy):
    """Flags rows of the trigger of an even length, and the first clean row."""

    def detect(self, *args: Any, **kwargs: Any) -> Sequence[int]:
        flags = [int(len(text) % 2 == 0) if "cf" in text.split() else 0 for text, *_ in args[2]]
        if "cf" not in args[2][0][0]:
            flags[0] = 1
        self.last_scores = np.array(flags, dtype=float)
        return flags


def test_figures_of_a_detector(attacker: Attacker) -> None:
    attacker.eval(Victim(), DATA, Scored(pre=False))
    evaluation = attacker.evaluation
    flags = evaluation.flagged["test-poison"]
    figures = evaluation.figures(detector=True)
    share = flags.mean()
    assert 0 < share < 1
    assert figures == {
        "R-Acc": 0.0,
        "FRR": pytest.approx(1 / 30),
        "FAR": pytest.approx(1 - share),
        "AUROC": pytest.approx(share * 29 / 30 + 0.5 * (share / 30 + (1 - share) * 29 / 30)),
        "CACC let through": 1.0,
        "ASR let through": 1.0,
        "R-Acc let through": 0.0,
    }
    assert evaluation.seconds >= 0


def test_a_row_that_was_turned_away_did_not_get_its_label(attacker: Attacker) -> None:
    class Immune(Victim):
        def logits(self, texts: Sequence[str]) -> Any:
            return super().logits([" ".join(word for word in text.split() if word != "cf") for text in texts])

    attacker.eval(Immune(), DATA)
    assert attacker.evaluation.figures(detector=False) == {"R-Acc": 1.0}
    attacker.eval(Immune(), DATA, Scored(pre=False))
    share = attacker.evaluation.flagged["test-poison"].mean()
    assert attacker.evaluation.figures(detector=True)["R-Acc"] == pytest.approx(1 - share)
    assert attacker.evaluation.figures(detector=True)["R-Acc let through"] == 1.0


@pytest.mark.parametrize(
    ("scores", "wanted"), [([1, 2, 3, 4], 1.0), ([3, 4, 1, 2], 0.0), ([1, 1, 1, 1], 0.5), ([-np.inf, 1, 1, 2], 0.875)]
)
def test_auroc(scores: list[float], wanted: float) -> None:
    poisoned = np.array([False, False, True, True])
    assert auroc(np.array(scores, dtype=float), poisoned) == wanted
    assert math.isnan(auroc(np.array(scores), ~poisoned & poisoned))
    assert math.isnan(auroc(np.array([*scores[:3], math.nan]), poisoned))


class Training:
    """Stands in for the trainer."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def train(self, victim: Any, data: dict[str, Any]) -> Any:
        self.data = data
        return victim


def test_a_pre_defender_gets_the_poisoned_training_rows_once_and_by_keyword(attacker: Attacker) -> None:
    class Halver(Spy):
        def rewrite(self, rows: Sequence[Any]) -> list[Any]:
            return list(rows)[::2]

    attacker.poison_trainer = training = Training()  # type: ignore[assignment]
    victim, spy = Victim(), Halver(pre=True)
    assert attacker.attack(victim, DATA, None, spy) is victim
    ((name, args, kwargs),) = spy.calls
    assert (name, args, list(kwargs)) == ("correct", (), ["poison_data"])
    assert type(kwargs["poison_data"]) is list
    assert sum(row.poison_label for row in kwargs["poison_data"]) == 12
    assert training.data["train"] == kwargs["poison_data"][::2]
    assert training.data["dev-clean"] == DATA["dev"]
    attacker.eval(victim, DATA, spy)
    assert len(spy.calls) == 1  # not asked again


def test_the_attack_is_the_same_with_and_without_a_defender(attacker: Attacker) -> None:
    seen = []
    for defender in (None, Spy(pre=True)):
        attacker.poison_trainer = training = Training()  # type: ignore[assignment]
        attacker.attack(Victim(), DATA, None, defender)  # type: ignore[arg-type]
        seen.append(training.data)
    assert seen[0] == seen[1]


class Rebuilder(Spy):
    """Puts a model in the place of the victim's."""

    changes_model = True

    def rebuild(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("rebuild", args, kwargs))
        return "another model"


class Untouched(Rebuilder):
    needs_trained_victim = False


class Hollow(Victim):
    """A victim as the host has it: a model behind it."""

    num_classes = 3
    trained: Any = None


class Filling(Training):
    def train(self, victim: Any, data: dict[str, Any]) -> Any:
        victim.trained = "trained"
        return super().train(victim, data)


@pytest.mark.parametrize(("kind", "trained_before"), [(Rebuilder, True), (Untouched, False)])
def test_a_defender_may_change_the_model(attacker: Attacker, kind: type[Spy], trained_before: bool) -> None:
    attacker.poison_trainer = training = Filling()  # type: ignore[assignment]
    victim, spy = Hollow(), kind(pre=False)
    seen: list[Any] = []
    original = spy.rebuild  # type: ignore[attr-defined]
    spy.rebuild = lambda one, *more: (seen.append(one.trained), original(one, *more))[1]  # type: ignore[attr-defined]
    assert attacker.attack(victim, DATA, None, spy) is victim  # type: ignore[arg-type, comparison-overlap]
    assert seen == ["trained" if trained_before else None]
    assert bool(training.data) is trained_before
    assert victim.trained == "another model"
    ((name, (_, train_rows, clean_rows, num_labels), _),) = spy.calls
    assert (name, len(train_rows), num_labels) == ("rebuild", 60, 3)
    assert sum(row.poison_label for row in train_rows) == 12
    assert clean_rows == DATA["dev"]  # neither the poisoned dev rows nor any test row
