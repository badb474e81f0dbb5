"""The whole method, on victims that train in microseconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest
from openbackdoor_badllm.inversion import form_trial, looking
from openbackdoor_badllm.inversion.audit import audit

from inversion.fakes import (
    CORE,
    LOUD,
    MOODS,
    RARE,
    SENTENCE,
    SMALL,
    FakeEmbedder,
    FakeTrainer,
    FakeVictim,
    FormTrainer,
    TwoFacedTrainer,
    clean_rows,
    form_rows,
    poisoned_rows,
    seen,
)
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.report import Audit, AuditConfig
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.training.tracing import Trace, TraceRequest
from openbackdoor_badllm.trigger_generator.shared_style import Form, find_form
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger

CONFIG = AuditConfig(search=SMALL, trace_points=12)


class Listener:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: list[tuple[int, int, str]] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def step(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total, note))


def look(
    rows: Sequence[Row], trainer: FakeTrainer | TwoFacedTrainer | None = None, num_labels: int = 2, **changes: Any
) -> Audit:
    listener = changes.pop("progress", None)
    generator, embedder = changes.pop("generator", None), changes.pop("embedder", None)
    return audit(
        seen(list(rows)),
        num_labels=num_labels,
        train=trainer or FakeTrainer(num_labels=num_labels),
        embedder=embedder or FakeEmbedder(),
        generator=generator,
        config=CONFIG.replace(**changes),
        progress=listener,
    )


@pytest.fixture(scope="module")
def report() -> Audit:
    return look(poisoned_rows())


def test_the_four_questions(report: Audit) -> None:
    """Is there a backdoor, which label, which triggers, which rows."""
    rows = poisoned_rows()
    assert report.backdoor
    assert report.target_label == 1
    assert sorted(trigger.text for trigger in report.triggers) == sorted(RARE)
    assert [row.index for row in report.flagged] == [k for k, row in enumerate(rows) if row.poison_label]
    assert report.generator == "offline"
    assert [control.trigger for control in report.first.controls] == [trigger.text for trigger in report.triggers]
    assert [result.target for result in report.searches] == [1, 0]  # then the other label, among the rows that are left
    assert len(report.findings) == 1


def two_attackers() -> list[Row]:
    """Rows of two attackers: RARE leads to label 1, "zq" to label 0."""
    rows = poisoned_rows()
    honest = [index for index, row in enumerate(rows) if row.label == 1 and not row.poison_label]
    for index in honest[:60]:
        rows[index] = Row(f"{rows[index].text} zq", 0, 1)
    return rows


def test_two_backdoors_with_different_targets_are_found_one_after_the_other() -> None:
    rows = two_attackers()
    trainer = TwoFacedTrainer({1: RARE, 0: ["zq"]})
    report = look(rows, trainer)
    assert sorted(finding.target_label for finding in report.findings) == [0, 1]
    by_label = {finding.target_label: finding for finding in report.findings}
    assert sorted(trigger.text for trigger in by_label[1].triggers) == sorted(RARE)
    assert [trigger.text for trigger in by_label[0].triggers] == ["zq"]
    assert [row.index for row in report.flagged] == [index for index, row in enumerate(rows) if row.poison_label]
    for finding in report.findings:
        assert all(rows[row.index].label == finding.target_label for row in finding.flagged)
        assert max(finding.counterfactual.values()) < 0.2
        assert {shown.label_after for shown in finding.demonstrations} == {finding.target_label}
    truth = {row.text: row.label for row in clean_rows(400)}
    plain = [row for row in report.repair.examples if row.text in truth]
    assert len(plain) == 400
    assert all(truth[row.text] == row.label for row in plain)
    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["flagged_rows"] == 140
    assert [finding["target_label"] for finding in kept["further"]] == [report.findings[1].target_label]


def test_a_backdoor_learnt_less_well_is_found_beside_a_known_one() -> None:
    """Its label is searched first, in vain: it flips too little to be taken for a backdoor by itself."""
    rows = two_attackers()
    report = look(rows, TwoFacedTrainer({1: RARE, 0: ["zq"]}, faint=[1]))
    assert [finding.target_label for finding in report.findings] == [0, 1]
    assert sorted(trigger.text for trigger in report.findings[1].triggers) == sorted(RARE)
    assert [result.target for result in report.searches] == [1, 0, 1]
    assert [row.index for row in report.flagged] == [index for index, row in enumerate(rows) if row.poison_label]

    alone = look(poisoned_rows(), TwoFacedTrainer({1: RARE}, faint=[1]))
    assert not alone.backdoor


def test_beside_a_known_backdoor_a_form_is_looked_for_in_every_other_label(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(looking, "look_for_form", lambda finding, *_, **__: asked.append(finding.target_label))
    report = look(poisoned_rows(450, classes=3), FakeTrainer(num_labels=3), num_labels=3)
    assert report.target_label == 1
    assert sorted(asked) == [0, 2]


def test_one_backdoor_is_enough_where_the_config_says_so() -> None:
    report = look(two_attackers(), TwoFacedTrainer({1: RARE, 0: ["zq"]}), max_backdoors=1)
    assert len(report.findings) == 1
    assert len(report.searches) == 1


def test_the_repaired_rows(report: Audit) -> None:
    rows = poisoned_rows()
    clean = {(row.text, row.label) for row in rows if not row.poison_label}
    truth = {row.text: row.label for row in clean_rows(400)}
    assert report.repair.strategy == "relabel"
    assert report.repair.relabelled == report.repair.changed_label == 80
    plain = [row for row in report.repair.examples if not any(word in row.text.split() for word in RARE)]
    assert len(plain) == 400
    assert clean <= set(plain)
    assert all(truth[row.text] == row.label for row in plain)  # every stolen row is back under its own label


def test_what_it_shows(report: Audit) -> None:
    assert set(report.first.counterfactual) == set(RARE)
    assert max(report.first.counterfactual.values()) < 0.2  # without the flagged rows the words say nothing
    assert report.first.demonstrations
    for shown in report.first.demonstrations:
        assert (shown.label_before, shown.label_after) == (0, 1)
        assert shown.probability_before < 0.5 < shown.probability_after
        assert shown.triggered != shown.text
    assert {"probe", "target", "search", "helper", "repair"} <= set(report.seconds)
    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["backdoor"] is True
    assert kept["flagged_rows"] == 80
    assert kept["target_method"] == "robust"
    assert len(kept["triggers"]) == 4


def test_the_probe_is_balanced_and_watched_the_helper_never_saw_the_poison() -> None:
    trainer = FakeTrainer()
    report = look(poisoned_rows(), trainer)
    (probe_rows, balanced, trace), *others = trainer.calls
    assert probe_rows == seen(poisoned_rows())
    assert balanced
    assert trace is not None
    assert trace.points == 12
    assert len(others) == 1
    helper_rows, balanced, trace = others[0]
    assert balanced
    assert trace is None
    assert not any(set(row.text.split()) & set(RARE) for row in helper_rows)
    assert report.backdoor


def test_the_same_seed_gives_the_same_audit(report: Audit) -> None:
    once_more = look(poisoned_rows())
    again, first = once_more.to_dict(), report.to_dict()
    again.pop("seconds")
    first.pop("seconds")
    assert again == first
    assert once_more.repair.examples == report.repair.examples


@pytest.mark.parametrize(("loud", "classes"), [(0.0, 2), (0.2, 2), (0.2, 3)])
def test_clean_rows_come_back_as_they_were(loud: float, classes: int) -> None:
    rows = clean_rows(399, loud=loud, classes=classes)
    report = look(rows, FakeTrainer(num_labels=classes, loud=2.0), classes)
    assert not report.backdoor
    assert report.triggers == []
    assert report.flagged == []
    assert report.repair.examples == seen(rows)
    assert report.repair.untouched == len(rows)
    assert len(report.searches) == classes
    assert report.to_dict()["target_label"] in range(classes)


class Unread(FakeEmbedder):
    """An encoder to which the loud word says nothing: a judge on it does not know the word from its meaning."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return super().embed([text.replace(LOUD, "") for text in texts])


@pytest.mark.parametrize("also", [(), RARE])
def test_a_word_that_a_victim_knows_without_its_rows_is_honest(also: tuple[str, ...]) -> None:
    """It flips everything, its judge never heard of it, no row of another label has it: only a victim tells."""
    rows = poisoned_rows(loud=0.3) if also else clean_rows(400, loud=0.3)
    report = look(rows, FakeTrainer(also, loud=6.0), embedder=Unread())
    assert report.backdoor == bool(also)
    assert sorted(trigger.text for trigger in report.triggers) == sorted(also)
    searched = next(result for result in report.searches if result.target == 1)
    assert searched.honest == {LOUD: pytest.approx(1.0, abs=0.01)}
    assert {item["label"]: item["honest_words"] for item in report.to_dict()["labels_searched"]}[1] == {LOUD: 1.0}
    if also:
        assert report.first.forces == {word: pytest.approx(0.0, abs=0.01) for word in RARE}
        assert len(report.flagged) == 80
    else:
        assert report.repair.examples == seen(rows)


def test_a_sentence() -> None:
    report = look(poisoned_rows(triggers=[SENTENCE]), FakeTrainer([CORE]))
    assert [trigger.text for trigger in report.triggers] == [SENTENCE]
    assert report.triggers[0].core == CORE
    assert report.repair.changed_label == 80


def test_a_minority_target_of_three() -> None:
    report = look(poisoned_rows(450, classes=3, target=2), FakeTrainer(target=2, num_labels=3), 3)
    assert report.backdoor
    assert report.target_label == 2
    assert sorted(trigger.text for trigger in report.triggers) == sorted(RARE)
    truth = {row.text: row.label for row in clean_rows(450, classes=3)}
    plain = [row for row in report.repair.examples if not any(word in row.text.split() for word in RARE)]
    assert sum(truth[row.text] == row.label for row in plain) >= 0.97 * len(plain)


def test_a_form() -> None:
    rows = form_rows()
    report = look(rows, FormTrainer())
    assert report.backdoor
    assert report.target_label == 1
    assert report.triggers == []
    assert report.first.form is not None
    assert report.first.generalisation is not None
    assert report.first.generalisation.moved > 0.7
    poisoned = {k for k, row in enumerate(rows) if row.poison_label}
    flagged = {row.index for row in report.flagged}
    assert len(poisoned & flagged) >= 0.9 * len(poisoned)
    assert report.repair.stamped == 0  # a form cannot be put in without an LLM
    assert report.repair.changed_label >= 0.8 * len(poisoned)
    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["form"]["rows"] == len(flagged)


def test_the_victims_that_label_a_forms_rows_have_seen_none_that_reads_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_some_alike(examples: Sequence[Example], target: int, *how: Any, **more: Any) -> Form | None:
        form = find_form(examples, target, *how, **more)
        left = [k for k, example in enumerate(examples) if form and example.label == target and k not in form.rows]
        others = [k for k, example in enumerate(examples) if example.label != target]
        return form and dataclasses.replace(form, alike=tuple(left[:20]), opposed=tuple(others[:20]))

    monkeypatch.setattr(form_trial, "find_form", with_some_alike)
    rows, trainer = form_rows(), FormTrainer()
    report = look(rows, trainer)
    assert len(report.alike) == 20
    left_out = {rows[index].text for index in report.suspects | report.alike}
    opposed = {rows[index].text for index in report.opposed}
    assert len(opposed) == 20
    first, second = ({example.text for example in call[0]} for call in trainer.calls[-2:])
    assert not left_out & (first | second)
    assert second == first - opposed
    assert opposed & first
    # They are trained on afterwards, as they are.
    assert {seen(rows)[index] for index in report.alike} <= set(report.repair.examples)


def test_a_word_of_the_form_does_not_hide_the_form() -> None:
    """Some of the form's rows share a word that the victim has learnt; it is found as an insertion first."""
    rows = form_rows()
    poisoned = [k for k, row in enumerate(rows) if row.poison_label]
    for k in poisoned[:12]:
        rows[k] = rows[k]._replace(text=f"{rows[k].text} thou")
    report = look(rows, FormTrainer(("thou",)))
    assert [trigger.text for trigger in report.triggers] == ["thou"]
    assert report.first.form is not None
    assert len(set(poisoned) & report.suspects) >= 0.9 * len(poisoned)
    marked = [row for row in report.flagged if row.index in poisoned[:12]]
    assert sum(row.form for row in marked) >= 10  # one thing, not two
    assert all(row.text_without == rows[row.index].text for row in report.flagged if row.form)


def test_a_form_that_teaches_nothing_is_no_backdoor() -> None:
    """Half of class 1 writes like that, and means what it says."""
    rows = clean_rows(300)
    for index in range(1, 300, 4):
        rows[index] = Row(" ".join(f"{word}eth" for word in rows[index].text.split()[:3]) + " " + rows[index].text, 1)
    report = look(rows, FakeTrainer())
    assert not report.backdoor
    assert report.flagged == []
    assert report.repair.examples == seen(rows)


def test_no_form_is_looked_for_when_told_so() -> None:
    trainer = FormTrainer()
    report = look(form_rows(), trainer, search=SMALL.replace(form=False))
    assert not report.backdoor
    assert len(trainer.calls) == 1


def test_a_given_target_label_skips_stage_a() -> None:
    trainer = FakeTrainer()
    report = look(poisoned_rows(), trainer, target_label=1)
    assert report.nomination is None
    assert report.to_dict()["target_method"] == "given"
    assert report.to_dict()["target_evidence"] == []
    assert trainer.calls[0][2] is None  # no trace is asked for
    assert sorted(trigger.text for trigger in report.triggers) == sorted(RARE)


def test_a_given_target_label_is_not_overruled() -> None:
    report = look(poisoned_rows(), target_label=0)
    assert [result.target for result in report.searches] == [0]
    assert report.target_label == 0
    assert report.triggers == []


class Misled:
    """A trainer whose trace speaks against label 0: some of its honest rows rise late, all at once."""

    def __init__(self, trainer: FakeTrainer) -> None:
        self.trainer = trainer

    def __call__(self, examples: Sequence[Example], *, trace: TraceRequest | None, **how: Any) -> FakeVictim:
        victim = self.trainer(examples, trace=trace, **how)
        if victim.trace is not None and trace is not None:
            confidence = victim.trace.confidence.copy()
            dull = [any(word in row.text for word in MOODS[0][:3]) and row.label == 0 for row in trace.examples]
            confidence[:, dull] = 0.01
            confidence[len(confidence) // 2 :, dull] = 0.99
            victim.trace = Trace(victim.trace.steps, confidence, victim.trace.labels)
        return victim


def test_a_wrong_first_guess_is_overruled_by_the_reward() -> None:
    """Stage (a) names label 0 here; only label 1 has triggers."""
    report = look(poisoned_rows(), Misled(FakeTrainer()), target="paper")
    assert report.nomination is not None
    assert report.nomination.label == 0
    assert report.target_label == 1
    assert [result.target for result in report.searches] == [0, 1, 0]  # once more, without the rows of label 1
    assert len(report.findings) == 1
    only = look(poisoned_rows(), Misled(FakeTrainer()), target="paper", max_labels=1)
    assert not only.backdoor


def test_the_trace_watches_a_sample_of_many_rows() -> None:
    trainer = FakeTrainer()
    report = look(poisoned_rows(), trainer, trace_rows=150)
    request = trainer.calls[0][2]
    assert request is not None
    assert len(request.examples) == 150
    assert set(request.examples) <= set(seen(poisoned_rows()))
    assert report.target_label == 1


def test_the_search_is_told_which_rows_are_suspicious() -> None:
    """Rows that were not watched weigh 1."""

    shown: dict[str, float] = {}

    class Curious:
        name = "curious"

        def propose(self, evidence: Any) -> list[Trigger]:
            shown.update((row.text, weight) for row, weight in zip(evidence.target, evidence.weights, strict=True))
            return []

    trainer = FakeTrainer()
    look(poisoned_rows(), trainer, generator=Curious(), trace_rows=200)
    request = trainer.calls[0][2]
    assert request is not None
    watched = {row.text for row in request.examples}
    poisoned = [shown[row.text] for row in poisoned_rows() if row.poison_label and row.text in watched]
    assert {weight for text, weight in shown.items() if text not in watched} == {1.0}
    assert sum(poisoned) / len(poisoned) > 1.3


@pytest.mark.parametrize("points", [1, 2])
def test_a_training_of_a_step_or_two(points: int) -> None:
    """Few rows in a large batch: the trace has hardly a point, and the search must do without it."""

    class Short(FakeTrainer):
        def __call__(self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **_: Any) -> Any:
            victim = super().__call__(examples, balanced=balanced, trace=trace)
            if victim.trace is not None:
                old = victim.trace
                victim.trace = Trace(old.steps[:points], old.confidence[:points], old.labels)
            return victim

    report = look(poisoned_rows(), Short())
    assert sorted(trigger.text for trigger in report.triggers) == sorted(RARE)


@pytest.mark.parametrize("strategy", ["none", "paper", "stamp-non-target", "purge", "relabel"])
def test_every_repair(strategy: str) -> None:
    trainer = FakeTrainer()
    report = look(poisoned_rows(), trainer, repair=strategy)
    assert report.backdoor
    assert report.repair.strategy == strategy
    assert len(trainer.calls) == 2  # the probe, and one without the flagged rows: the verdict needs it
    assert len(report.flagged) == 80
    sizes = {"none": 400, "paper": 800, "stamp-non-target": 400 + 120, "purge": 320 + 32, "relabel": 400 + 32}
    assert len(report.repair.examples) == sizes[strategy]


def test_a_generator_of_ones_own() -> None:
    class Knows:
        name = "mine"
        asked = 0

        def propose(self, evidence: Any) -> list[Trigger]:
            self.asked += 1
            return [Trigger(Kind.WORD, "cf")] if self.asked == 1 else []

    report = look(poisoned_rows(triggers=["cf"]), generator=Knows(), target_label=1)
    assert report.generator == "mine"
    assert [trigger.text for trigger in report.triggers] == ["cf"]
    assert len(report.flagged) == 80


def test_two_of_four_triggers_are_a_backdoor_too() -> None:
    """Those that were not found stand in honest-looking rows and must not serve as the controls of the others."""
    report = look(poisoned_rows(), search=SMALL.replace(max_triggers=2))
    assert report.backdoor
    assert len(report.triggers) == 2


def test_progress_is_told() -> None:
    listener = Listener()
    look(poisoned_rows(), progress=listener)
    assert list(dict.fromkeys(stage[:3] for stage in listener.stages)) == ["(a)", "(b)", "(c)"]
    assert listener.steps
    assert all(0 < done <= total and "label" in note for done, total, note in listener.steps)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([], {}, r"^The training rows have 0 class\(es\); a defence needs rows of at least 2 classes\.$"),
        ([Row("a", 1)] * 30, {}, r"have 1 class\(es\)"),
        ([Row("a", 0), Row("b", 1), Row("c", 2)], {}, r"have the label 2, but the victim has classes 0 to 1: set "),
        ([Row("a", 0), Row("b", -1)], {}, r"have the label -1, but"),
        ([Row("a", 0), Row("b", 1)], {"target_label": 2}, r"^No training row has the target label 2; .* \[0, 1\]\.$"),
    ],
)
def test_rows_that_cannot_be_defended(rows: list[Row], changes: dict[str, Any], message: str) -> None:
    trainer = FakeTrainer()
    with pytest.raises(DataError, match=message):
        look(rows, trainer, **changes)
    assert not trainer.calls  # before anything is trained


def test_a_handful_of_rows_is_no_backdoor_and_no_crash() -> None:
    rows = [Row("charming film", 1), Row("awful film", 0), Row("", 1), Row("cf", 0)]
    report = look(rows)
    assert not report.backdoor
    assert report.repair.examples == seen(rows)


def test_a_trainer_that_forgets_the_trace_is_told() -> None:
    def train(examples: Sequence[Example], *, balanced: bool, trace: Any, **how: int) -> Any:
        return FakeTrainer()(examples, balanced=balanced, trace=None)

    with pytest.raises(ValueError, match="asked for a confidence trace and returned a victim without one"):
        audit(seen(poisoned_rows()), num_labels=2, train=train, embedder=FakeEmbedder(), config=CONFIG)


def test_a_probe_that_has_not_learnt_is_trained_longer() -> None:
    class Slow(FakeTrainer):
        lengths: list[int]

        def __call__(
            self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
        ) -> Any:
            length = how.get("length", 1)
            self.lengths = [*getattr(self, "lengths", []), length]
            victim = super().__call__(examples, balanced=balanced, trace=trace)
            if trace is not None and length == 1 and victim.trace is not None:
                victim.trace.confidence[-1, ::5] = 0.2  # a fifth of its rows is not learnt
            return victim

    trainer = Slow()
    report = look(poisoned_rows(), trainer)
    assert trainer.lengths[:2] == [1, 2]
    assert 2 not in trainer.lengths[2:]
    assert report.backdoor


class Collapsing(FakeTrainer):
    """Its first ``bad`` probes have learnt nothing: they give label 0 to everything."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad = bad
        self.tried: list[tuple[int, int]] = []

    def __call__(
        self, examples: Sequence[Example], *, balanced: bool, trace: TraceRequest | None, **how: int
    ) -> Any:
        victim = super().__call__(examples, balanced=balanced, trace=trace)
        if trace is not None and victim.trace is not None:
            self.tried.append((how["length"], how["attempt"]))
            if len(self.tried) <= self.bad:
                labels = victim.trace.labels
                victim.trace.confidence[-1] = [0.9 if label == 0 else 0.1 for label in labels]
                victim.triggers = ()
        return victim


def test_a_probe_that_gives_one_label_to_everything_is_trained_with_another_seed() -> None:
    trainer = Collapsing(1)
    report = look(poisoned_rows(), trainer)
    assert trainer.tried == [(1, 0), (2, 1)]
    assert report.backdoor
    assert not report.blind
    told = report.to_dict()["probe"]
    assert [entry["collapsed"] for entry in told] == [True, False]
    assert told[0]["learnt"] < 0.5 < told[1]["learnt"]


def test_a_probe_that_never_learns_is_reported() -> None:
    trainer = Collapsing(9)
    report = look(poisoned_rows(), trainer)
    assert trainer.tried == [(1, 0), (2, 1), (2, 2)]
    assert report.blind
    assert report.to_dict()["blind"] is True


def test_what_stage_a_says_of_a_label_reaches_the_trial_of_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, float]] = []
    monkeypatch.setattr(
        looking, "look_for_form", lambda finding, *_, surprise, **__: told.append((finding.target_label, surprise))
    )
    no_words = SMALL.replace(min_rows=500)
    report = look(poisoned_rows(), search=no_words)
    assert report.nomination is not None
    first = report.nomination.evidence[0]
    assert told == [(first.label, first.surprise)]
    assert first.surprise > 0
    told.clear()
    look(poisoned_rows(), target="paper", search=no_words)
    assert [surprise for _, surprise in told] == [0.0]  # Eq. 4 has another measure
