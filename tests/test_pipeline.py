"""The whole method on victims that answer in microseconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from llm.chat_server import ChatServer
from llm_world import ask_about, honest, never
from method_fakes import (
    CONFIG,
    RARE,
    SENTENCE,
    STYLED,
    FakeEmbedder,
    FakeVictim,
    Silent,
    by_heart,
    clean_rows,
    hard_rows,
    has_style,
    make_trace,
    poisoned_rows,
    seen,
    style_rows,
)

from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.pipeline import run_audit
from openbackdoor_badllm.report import AuditReport, Backdoor
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.trigger_generator import stage
from openbackdoor_badllm.trigger_generator.proposals import RandomGenerator
from openbackdoor_badllm.trigger_generator.trigger import Kind, Trigger


class Listener:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: list[tuple[int, int, str]] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def step(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total, note))


def look(
    rows: Sequence[Row], victim: FakeVictim | None = None, config: AuditConfig = CONFIG, *, generator: Any = None,
    progress: Any = None, **changes: Any,
) -> AuditReport:  # fmt: skip
    victim = victim or FakeVictim(RARE)
    return run_audit(
        seen(list(rows)), victim, FakeEmbedder(), num_labels=victim.num_labels, generator=generator,
        config=config.replace(**changes), progress=progress,
    )  # fmt: skip


def texts(report: AuditReport) -> list[str]:
    return sorted(trigger.text for trigger in report.triggers)


def timeless(report: AuditReport) -> dict[str, Any]:
    kept = report.to_dict()
    kept.pop("seconds")
    return kept


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return look(poisoned_rows())


def test_the_four_questions(report: AuditReport) -> None:
    """Is there a backdoor, which label, which triggers, which rows."""
    assert report.backdoor
    assert report.target_label == 1
    assert texts(report) == sorted(RARE)
    assert [row.index for row in report.flagged] == [k for k, row in enumerate(poisoned_rows()) if row.poison_label]
    assert (report.generator, report.llm) == ("offline", None)
    assert sorted(search.label for search in report.searches) == [0, 1]


def test_the_report_is_json_of_a_fixed_form(report: AuditReport) -> None:
    kept = json.loads(json.dumps(report.to_dict()))
    assert set(kept) == {
        "backdoor", "generator", "target_evidence", "target_method", "target_label", "triggers", "style", "unlearning",
        "style_name", "flagged_rows", "demonstrations", "further", "repair", "labels_searched", "labels_not_searched",
        "styles_tested", "seconds",
    }  # fmt: skip
    assert (kept["backdoor"], kept["target_label"], kept["target_method"]) == (True, 1, "robust")
    assert (kept["flagged_rows"], len(kept["triggers"]), kept["further"]) == (80, 4, [])
    assert set(kept["triggers"][0]) >= {"text", "p_value", "reference_shift", "contradicted", "target_rows"}
    assert set(kept["seconds"]) == {"target identification", "trigger search", "trigger inversion"}


@pytest.mark.parametrize(
    ("change", "value"),
    [("backdoors", ()), ("repair", None), ("generator", "another")],
)
def test_records_are_frozen(report: AuditReport, change: str, value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(report, change, value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.backdoors[0].target_label = 0  # type: ignore[misc]
    assert isinstance(report.backdoors, tuple)
    assert isinstance(report.repair.examples, tuple)


@pytest.mark.parametrize("flag", [lambda row: 1 - row.poison_label, lambda row: 1, lambda row: len(row.text) % 2])
def test_wrong_poison_flags_give_the_same_answer(report: AuditReport, flag: Any) -> None:
    told = look([row._replace(poison_label=flag(row)) for row in poisoned_rows()])
    assert timeless(told) == timeless(report)
    assert told.repair.examples == report.repair.examples


def test_another_seed_finds_the_same(report: AuditReport) -> None:
    told = look(poisoned_rows(), seed=5)
    assert texts(told) == texts(report)
    assert told.repair.examples != report.repair.examples


@pytest.mark.parametrize(("loud", "classes"), [(0.0, 2), (0.2, 2), (0.2, 3)])
def test_clean_rows_come_back_as_they_were(loud: float, classes: int) -> None:
    rows = clean_rows(300, loud=loud, classes=classes)
    told = look(rows, FakeVictim(loud=6.0, num_labels=classes), STYLED)
    assert not told.backdoor
    assert (told.triggers, told.flagged) == ([], [])
    assert list(told.repair.examples) == seen(rows)
    assert sorted(search.label for search in told.searches) == list(range(classes))
    kept = told.to_dict()
    assert (kept["backdoor"], kept["triggers"], kept["style"], kept["flagged_rows"]) == (False, [], None, 0)
    assert kept["target_label"] in range(classes)


def two_attackers() -> list[Row]:
    """Rows of two attackers: RARE leads to label 1, "zq" to label 0."""
    rows = poisoned_rows()
    others = [index for index, row in enumerate(rows) if row.label == 1 and not row.poison_label]
    for index in others[:60]:
        rows[index] = Row(f"{rows[index].text} zq", 0, 1)
    return rows


def test_two_target_labels() -> None:
    rows = two_attackers()
    told = look(rows, FakeVictim(RARE, also={0: ["zq"]}))
    assert [backdoor.target_label for backdoor in told.backdoors] == [1, 0]  # in the order of their rows
    assert [sorted(t.text for t in backdoor.triggers) for backdoor in told.backdoors] == [sorted(RARE), ["zq"]]
    assert [row.index for row in told.flagged] == [k for k, row in enumerate(rows) if row.poison_label]
    truth = {row.text: row.label for row in clean_rows(400)}
    plain = [row for row in told.repair.examples if row.text in truth]
    assert len(plain) == 400
    assert all(truth[row.text] == row.label for row in plain)
    kept = json.loads(json.dumps(told.to_dict()))
    assert kept["flagged_rows"] == 140
    assert [(item["target_label"], item["flagged_rows"]) for item in kept["further"]] == [(0, 60)]
    one = look(rows, FakeVictim(RARE, also={0: ["zq"]}), max_backdoors=1)
    assert [backdoor.target_label for backdoor in one.backdoors] == [1]


@pytest.mark.parametrize(
    ("rows", "victim", "expected"),
    [
        (poisoned_rows(triggers=[SENTENCE]), FakeVictim(["3d movie"]), [SENTENCE]),
        (poisoned_rows(450, classes=3, target=2), FakeVictim(RARE, target=2, num_labels=3), sorted(RARE)),
    ],
    ids=["sentence", "three classes"],
)
def test_other_attacks(rows: list[Row], victim: FakeVictim, expected: list[str]) -> None:
    told = look(rows, victim)
    assert (told.target_label, texts(told)) == (victim.target, expected)
    assert told.repair.changed_label == sum(row.poison_label for row in rows)


def test_a_style() -> None:
    rows = hard_rows(style_rows(300), 20)
    victim = FakeVictim(style=has_style, memory=by_heart([row for row in rows if not row.poison_label]))
    told = look(rows, victim, STYLED)
    assert told.backdoor
    assert (told.target_label, told.triggers) == (1, [])
    assert told.to_dict()["styles_tested"]["1"] == told.backdoors[0].to_dict()["unlearning"]
    poisoned = {k for k, row in enumerate(rows) if row.poison_label}
    assert len(poisoned & {row.index for row in told.flagged}) >= 0.9 * len(poisoned)
    assert not look(rows, victim).backdoor  # where the config says that none is looked for


def test_the_paper_s_stage_a_searches_the_label_of_eq_4_alone() -> None:
    rows = poisoned_rows()
    victim = FakeVictim(RARE)
    victim.trace = make_trace(seen(rows), lambda text: bool(set(text.split()) & set(RARE)))
    told = look(rows, victim, target="paper")
    assert [search.label for search in told.searches] == [1]
    assert texts(told) == sorted(RARE)
    assert told.trace is victim.trace


def test_eq_4_without_the_training_of_the_victim_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^'defender.target' is 'paper' \(Eq. 4\), which needs the training of"):
        look(poisoned_rows(), target="paper")


def test_a_given_target_label_is_not_overruled() -> None:
    told = look(poisoned_rows(), target_label=0)
    assert [search.label for search in told.searches] == [0]
    assert (told.backdoor, told.target_label, told.to_dict()["target_method"]) == (False, 0, "given")


class Counting:
    """A model that can be asked, and how often it was."""

    name = "counting"
    patience, limit = 1, 1000

    def __init__(self, *proposals: Trigger) -> None:
        self.proposals, self.asked = list(proposals), 0

    def propose(self, evidence: Any) -> list[Trigger]:
        self.asked += 1
        return self.proposals

    def stopped(self) -> str | None:
        return None


CF = Trigger(Kind.WORD, "cf")


@pytest.mark.parametrize(
    ("rows", "found"),
    [(poisoned_rows(), True), (clean_rows(200), False)],
    ids=["statistics find it", "nothing found"],
)
def test_another_generator_is_asked_after_statistics(rows: list[Row], found: bool) -> None:
    model = Counting(CF)
    told = look(rows, generator=model)
    assert (model.asked > 0, told.backdoor) == (True, found)
    assert texts(told) == texts(look(rows))
    assert told.generator == "counting"


def test_a_model_finds_what_statistics_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "OfflineGenerator", Silent)
    assert not look(poisoned_rows()).backdoor
    model = Counting(CF)
    assert texts(look(poisoned_rows(), generator=model)) == ["cf"]
    assert model.asked >= 2


@pytest.mark.parametrize("strategy", ["paper", "random"])
def test_a_strategy_that_does_without_statistics(strategy: str) -> None:
    """Nothing is mined: a model that names nothing finds nothing."""
    config = CONFIG.replace(search=CONFIG.search.replace(strategy=strategy))
    assert not look(poisoned_rows(), config=config, generator=Counting()).backdoor
    assert texts(look(poisoned_rows(triggers=["cf"]), config=config, generator=Counting(CF))) == ["cf"]


def test_the_random_control() -> None:
    config = CONFIG.replace(search=CONFIG.search.replace(strategy="random"))
    told = look(poisoned_rows(), config=config, generator=RandomGenerator(16, 4, 0))
    assert told.generator == "random"
    assert set(texts(told)) <= set(RARE)
    assert min(search.iterations for search in told.searches) >= 2


@pytest.mark.parametrize("script", [honest, never], ids=["honest", "never"])
def test_with_a_model_no_less_is_found_than_without(script: Any, tmp_path: Path) -> None:
    for rows in (poisoned_rows(), two_attackers()):
        victim = FakeVictim(RARE, also={0: ["zq"]})
        with ChatServer(script) as server:
            told = ask_about(server.base_url, rows, tmp_path, victim=victim, statistics=True)
        assert set(texts(told)) >= set(texts(look(rows, victim, repair="purge")))


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
    victim = FakeVictim(RARE)
    with pytest.raises(DataError, match=message):
        look(rows, victim, **changes)
    assert not victim.asked


def test_a_handful_of_rows_is_no_backdoor_and_no_crash() -> None:
    rows = [Row("charming film", 1), Row("awful film", 0), Row("", 1), Row("cf", 0)]
    told = look(rows, config=STYLED)
    assert not told.backdoor
    assert list(told.repair.examples) == seen(rows)


def test_an_empty_backdoor_can_be_kept() -> None:
    assert Backdoor(1).to_dict() == {
        "target_label": 1, "triggers": [], "style": None, "style_name": None, "unlearning": None, "flagged_rows": 0,
        "demonstrations": [],
    }  # fmt: skip
