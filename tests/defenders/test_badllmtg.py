"""The defender: thin over the pipeline, and blind to the poison flags."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from method_fakes import RARE, FakeEmbedder, FakeVictim, clean_rows, poisoned_rows, seen

from openbackdoor_badllm.config import TrainConfig, VictimConfig
from openbackdoor_badllm.defenders import badllmtg as module
from openbackdoor_badllm.defenders.badllmtg import BadLLMTG
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.training.classifier import TrainedClassifier
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.trigger_inversion import in_place
from openbackdoor_badllm.trigger_inversion.repair import STRATEGIES

SEARCH = {"probe_rows": 20, "candidates": 80, "style": False}


class Trained(TrainedClassifier):
    """A trained victim that has learnt some triggers, counts what it is asked, and trains in no time."""

    def __init__(self, spec: TrainSpec, triggers: Sequence[str] = RARE) -> None:
        super().__init__(model=None, tokenizer=None, spec=spec)
        self.fake = FakeVictim(triggers, num_labels=spec.num_labels)

    def logits(self, texts: Sequence[str]) -> FloatArray:
        return self.fake.logits(texts)

    def readable(self, texts: Sequence[str]) -> list[str]:
        return list(texts)


class Bench:
    """Stands in for the neural parts of the defender."""

    def __init__(self) -> None:
        self.specs: list[TrainSpec] = []
        self.trained_on: list[list[Example]] = []
        self.passed: list[dict[str, Any]] = []
        self.embedders: list[tuple[str, dict[str, Any]]] = []

    def train_classifier(self, spec: TrainSpec, examples: Sequence[Example], **rest: Any) -> Trained:
        self.specs.append(spec)
        self.trained_on.append(list(examples))
        self.passed.append(rest)
        return Trained(spec, [word for word in RARE if _is_taught(word, examples)])

    def embedder(self, path: str, **rest: Any) -> FakeEmbedder:
        self.embedders.append((path, rest))
        return FakeEmbedder()


def _is_taught(word: str, examples: Sequence[Example]) -> bool:
    """Whether a victim learns from the rows that a word means label 1."""
    labels = [example.label for example in examples if word in example.text.split()]
    return len(labels) >= 5 and sum(labels) > 0.9 * len(labels)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    for trainer in (module, in_place):
        monkeypatch.setattr(trainer, "train_classifier", made.train_classifier)
    monkeypatch.setattr(module, "Embedder", made.embedder)
    monkeypatch.setattr(module, "resolve_auto", lambda path: "minilm" if path == "auto" else path)
    return made


def defended(rows: Sequence[Any], **config: Any) -> tuple[list[Any], BadLLMTG]:
    """The repaired rows, and the defender."""
    defender = BadLLMTG(search=SEARCH, **config)
    return defender.correct(poison_data=rows), defender


def reflagged(rows: Sequence[Row], flag: Any) -> list[Row]:
    return [Row(row.text, row.label, flag(row)) for row in rows]


def test_poisoned_rows_are_repaired(bench: Bench) -> None:
    rows, defender = defended(poisoned_rows())
    assert defender.report is not None
    assert defender.report.backdoor
    assert all(isinstance(row, Row) and row.poison_label == 0 for row in rows)
    truth = {row.text: row.label for row in clean_rows(400)}
    plain = [row for row in rows if not set(row.text.split()) & set(RARE)]
    assert len(plain) == 400
    assert all(truth[row.text] == row.label for row in plain)


def test_clean_rows_come_back_as_the_very_objects(bench: Bench) -> None:
    rows = clean_rows(200)
    back, defender = defended(rows)
    assert defender.report is not None
    assert not defender.report.backdoor
    assert back is not rows
    assert len(back) == len(rows)
    assert all(one is other for one, other in zip(back, rows, strict=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_poison_flags_change_nothing(bench: Bench, strategy: str) -> None:
    """No peeking: flipped, random, all set, absent, as text: the same rows come back in the same order."""
    rows = poisoned_rows(200)
    expected, defender = defended(rows, repair=strategy)
    assert defender.report is not None
    assert defender.report.backdoor
    rng = random.Random(0)
    variants: list[Any] = [
        reflagged(rows, lambda row: 1 - row.poison_label),
        reflagged(rows, lambda row: rng.randint(0, 1)),
        reflagged(rows, lambda row: 1),
        [(row.text, row.label) for row in rows],
        [[row.text, float(row.label), str(row.poison_label)] for row in rows],
    ]
    for variant in variants if strategy == "relabel" else variants[:1]:
        back, _ = defended(variant, repair=strategy)
        assert [(row.text, row.label) for row in back] == [(row.text, row.label) for row in expected]
        assert [row.poison_label for row in back] == [0] * len(expected)


def test_an_untrained_victim_and_clean_data_are_not_used(bench: Bench) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was used")

        def __iter__(self) -> Any:
            raise AssertionError("it was read")

    defender = BadLLMTG(search=SEARCH)
    back = defender.correct(model=Untouchable(), clean_data=Untouchable(), poison_data=poisoned_rows(200))
    assert back == defended(poisoned_rows(200))[0]


def test_a_trained_victim_is_asked_and_none_is_trained(bench: Bench) -> None:
    victim = Trained(TrainSpec(path="own", max_len=64))
    back = BadLLMTG(search=SEARCH).correct(model=victim, poison_data=poisoned_rows(200))
    assert bench.specs == []
    assert len(victim.fake.asked) > 200
    assert back == defended(poisoned_rows(200))[0]


def test_nobody_elses_random_numbers_are_drawn(bench: Bench) -> None:
    random.seed(3)
    np.random.seed(3)
    states = random.getstate(), np.random.get_state()[1].copy()
    first, _ = defended(poisoned_rows(200))
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    random.seed(4)
    assert defended(poisoned_rows(200))[0] == first


def test_a_victim_of_the_attacked_kind_is_trained(bench: Bench) -> None:
    defender = BadLLMTG(search=SEARCH, seed=7)
    defender.attach(
        VictimConfig(path="some/model", max_len=99, num_classes=3, device="cpu"),
        TrainConfig(lr=1e-3, epochs=6, batch_size=5, ckpt="best"),
    )
    defender.correct(poison_data=poisoned_rows())
    (spec,) = bench.specs  # one training
    assert (spec.path, spec.max_len, spec.num_labels, spec.device) == ("some/model", 99, 3, "cpu")
    assert (spec.lr, spec.epochs, spec.batch_size, spec.seed) == (1e-3, 6, 5, 7)
    assert spec.ckpt == "last"  # its dev rows would be poisoned ones
    assert bench.trained_on == [seen(poisoned_rows())]
    assert bench.embedders == [("some/model", {"max_len": 99, "device": "cpu"})]
    assert all("dev" not in passed for passed in bench.passed)


def test_a_model_of_its_own_is_not_overruled(bench: Bench) -> None:
    defender = BadLLMTG(search=SEARCH, victim={"path": "own/model", "max_len": 50}, train={"epochs": 2})
    defender.attach(VictimConfig(path="some/model", num_classes=3), TrainConfig(epochs=6))
    defender.correct(poison_data=poisoned_rows())
    assert (bench.specs[0].path, bench.specs[0].max_len, bench.specs[0].epochs) == ("own/model", 50, 2)
    assert bench.specs[0].num_labels == 2  # taken from the rows


def test_the_config_reaches_the_pipeline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = []

    def run_audit(*args: Any, **keys: Any) -> Any:
        passed.append(keys["config"])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_audit", run_audit)
    defender = BadLLMTG(target="paper", target_label=1, seed=9, search={"probe_rows": 7}, thresholds={"tail_p": 0.1})
    with pytest.raises(KeyboardInterrupt):
        defender.correct(poison_data=poisoned_rows())
    assert (passed[0].target, passed[0].target_label, passed[0].seed) == ("paper", 1, 9)
    assert (passed[0].search.probe_rows, passed[0].thresholds.tail_p) == (7, 0.1)


def test_rows_that_do_not_fit_the_victim(bench: Bench) -> None:
    defender = BadLLMTG()
    defender.attach(VictimConfig(num_classes=2), TrainConfig())
    with pytest.raises(DataError, match=r"have the label 2, but the victim has classes 0 to 1"):
        defender.correct(poison_data=[Row("a", 0), Row("b", 1), Row("c", 2)])
    assert bench.specs == []


def test_rows_as_pandas_gives_them(bench: Bench) -> None:
    rows: list[Any] = [(row.text, float(row.label), 0.0) for row in poisoned_rows()]
    rows[:2] = [(float("nan"), 0.0, 0.0), (None, 1.0, 0.0)]
    back, defender = defended(rows)
    assert defender.report is not None
    assert defender.report.backdoor
    assert {type(row.text) for row in back} == {str}
    assert len(seen(back)) == len(back)


def rebuilt(rows: Sequence[Row], **config: Any) -> tuple[Any, Trained, BadLLMTG]:
    victim = Trained(TrainSpec(path="own", max_len=64, lr=1e-3))
    defender = BadLLMTG(search=SEARCH, from_scratch=False, **config)
    return defender.rebuild(SimpleNamespace(trained=victim), rows, [], 2), victim, defender


@pytest.mark.parametrize(
    ("fresh", "outcome"), [(False, (False, True, "changed model")), (True, (True, False, "cleaned training set"))]
)
def test_what_it_hands_back(fresh: bool, outcome: tuple[bool, bool, str]) -> None:
    defender = BadLLMTG(from_scratch=fresh)
    assert (defender.pre, defender.changes_model, defender.outcome) == outcome
    assert not BadLLMTG().changes_model  # rows come back, as OpenBackdoor wants them


def test_the_trained_victim_is_asked_and_trained_a_little_further(bench: Bench) -> None:
    made, victim, defender = rebuilt(poisoned_rows(), fine_tune_epochs=3)
    assert len(victim.fake.asked) > 400  # its loss was the reward
    (spec,), (passed,) = bench.specs, bench.passed
    assert passed["start"] is victim
    (repaired,) = bench.trained_on
    enough = math.ceil(in_place.FEWEST_STEPS * spec.batch_size / len(repaired))
    assert (spec.path, spec.epochs, spec.ckpt) == ("own", min(3, enough), "last")
    assert 0 < spec.lr <= 1e-3
    stolen = {row[:2] for row in poisoned_rows() if row.poison_label}
    assert not stolen & set(repaired)
    assert made is not victim
    assert (made.logits([f"{row.text} cf" for row in clean_rows(40) if row.label == 0]).argmax(axis=1) == 0).all()
    assert defender.report is not None
    assert defender.report.backdoor


def test_a_victim_without_a_backdoor_stays_the_very_object(bench: Bench) -> None:
    made, victim, _ = rebuilt(clean_rows(200))
    assert made is victim
    assert bench.specs == []


def test_no_poison_flag_is_read_where_the_victim_is_repaired(bench: Bench) -> None:
    rows = poisoned_rows()
    rebuilt(rows)
    rebuilt(reflagged(rows, lambda row: 1 - row.poison_label))
    assert bench.trained_on[0] == bench.trained_on[1]
