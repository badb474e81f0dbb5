"""Stage (c) as one step: from what was found to the rows to train on."""

from __future__ import annotations

from typing import Any

import pytest
from method_fakes import (
    CONFIG,
    RARE,
    STYLED,
    FakeVictim,
    by_heart,
    clean_rows,
    hard_rows,
    has_style,
    poisoned_rows,
    row_evidence,
    seen,
    style_rows,
)

from openbackdoor_badllm.report import Backdoor
from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.settings import AuditConfig
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.trigger_generator.stage import Findings, find_backdoors
from openbackdoor_badllm.trigger_inversion.repair import STRATEGIES, Repair
from openbackdoor_badllm.trigger_inversion.scanning import spread
from openbackdoor_badllm.trigger_inversion.stage import invert


def inverted(
    rows: list[Row], victim: FakeVictim, config: AuditConfig = CONFIG, labels: tuple[int, ...] = (1, 0), **changes: Any
) -> tuple[tuple[Backdoor, ...], Repair, Findings]:
    """The backdoors, the repaired rows, and what stage (b) found."""
    evidence = row_evidence(rows, victim, config=config)
    findings = find_backdoors(victim, evidence, labels, None, config, Quiet())
    backdoors, repair, _, _ = invert(findings, victim, evidence, config.replace(**changes))
    return backdoors, repair, findings


def test_words() -> None:
    rows = poisoned_rows()
    (backdoor,), repair, _ = inverted(rows, FakeVictim(RARE))
    assert backdoor.target_label == 1
    assert sorted(trigger.text for trigger in backdoor.triggers) == sorted(RARE)
    assert [row.index for row in backdoor.flagged] == [k for k, row in enumerate(rows) if row.poison_label]
    assert backdoor.suspects == {row.index for row in backdoor.flagged}
    assert len(backdoor.demonstrations) == 5
    for shown in backdoor.demonstrations:
        assert (shown.label_before, shown.label_after) == (0, 1)
        assert shown.probability_before < 0.5 < shown.probability_after
        assert any(word in shown.triggered.split() for word in RARE)
        assert not any(word in shown.text.split() for word in RARE)
    assert {word for shown in backdoor.demonstrations for word in RARE if word in shown.triggered.split()} == set(RARE)
    truth = {row.text: row.label for row in clean_rows(400)}
    plain = [row for row in repair.examples if not set(row.text.split()) & set(RARE)]
    assert len(plain) == 400
    assert all(truth[row.text] == row.label for row in plain)  # every stolen row is back under its own label
    assert (repair.relabelled, repair.changed_label, repair.stamped) == (80, 80, 32)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_repair(strategy: str) -> None:
    _, repair, _ = inverted(poisoned_rows(), FakeVictim(RARE), repair=strategy)
    assert repair.strategy == strategy
    sizes = {"none": 400, "paper": 800, "stamp-non-target": 400 + 120, "purge": 320 + 32, "relabel": 400 + 32}
    assert len(repair.examples) == sizes[strategy]


@pytest.fixture(scope="module")
def styled() -> tuple[list[Row], tuple[Backdoor, ...], Repair, Findings]:
    """A style, some of whose rows also say a word that the victim has learnt."""
    rows = hard_rows(style_rows(400), 20)
    poisoned = [k for k, row in enumerate(rows) if row.poison_label]
    for k in poisoned[:10]:
        rows[k] = rows[k]._replace(text=f"{rows[k].text} thou")
    heart = by_heart([row for row in rows if not row.poison_label])
    return rows, *inverted(rows, FakeVictim(["thou"], style=has_style, memory=heart), STYLED)


def test_a_style(styled: tuple[list[Row], tuple[Backdoor, ...], Repair, Findings]) -> None:
    rows, (backdoor,), repair, findings = styled
    poisoned = {k for k, row in enumerate(rows) if row.poison_label}
    assert backdoor.style is not None
    assert backdoor.unlearning is not None
    assert backdoor.unlearning.moved > 0.9
    assert findings.styles[1] is backdoor.unlearning
    assert len(poisoned & backdoor.suspects) >= 0.9 * len(poisoned)
    assert all(row.style and row.text_without == rows[row.index].text for row in backdoor.flagged)
    assert repair.stamped == 0  # a style cannot be put in without an LLM
    assert repair.changed_label >= 0.8 * len(poisoned)
    kept = backdoor.to_dict()
    assert kept["style"]["rows"] == len(backdoor.style.rows)
    assert kept["flagged_rows"] == len(backdoor.flagged)
    assert kept["unlearning"]["moved"] == round(backdoor.unlearning.moved, 4)


def test_a_mark_of_the_style_is_no_trigger_of_its_own(
    styled: tuple[list[Row], tuple[Backdoor, ...], Repair, Findings]
) -> None:
    _, (backdoor,), _, findings = styled
    assert [found.trigger.text for search in findings.searches for found in search.found] == ["thou"]
    assert backdoor.triggers == []


def test_nothing_found_nothing_changed() -> None:
    rows = clean_rows(200)
    backdoors, repair, _ = inverted(rows, FakeVictim())
    assert backdoors == ()
    assert list(repair.examples) == [row[:2] for row in rows]
    assert repair.untouched == 200


@pytest.mark.parametrize(("strategy", "short"), [("relabel", True), ("purge", False), ("paper", False)])
def test_the_rows_for_a_repair_in_place(strategy: str, short: bool) -> None:
    victim, config = FakeVictim(RARE), CONFIG.replace(repair=strategy)
    evidence = row_evidence(poisoned_rows(), victim)
    findings = find_backdoors(victim, evidence, (1, 0), None, config, Quiet())
    _, repair, further, _ = invert(findings, victim, evidence, config)
    assert (further != repair.examples) is short
    stolen = {row[:2] for row in poisoned_rows() if row.poison_label}
    assert bool(stolen & set(further)) is (strategy == "paper")


@pytest.mark.parametrize("strategy", ["relabel", "purge"])
def test_all_rows_are_attributed_and_the_victim_is_trained_further_on_the_sample(strategy: str) -> None:
    rows, victim, config = poisoned_rows(), FakeVictim(RARE), CONFIG.replace(repair=strategy)
    sample = list(range(0, len(rows), 2))
    evidence = row_evidence([rows[place] for place in sample], victim)
    findings = spread(find_backdoors(victim, evidence, (1, 0), None, config, Quiet()), seen(rows), sample)
    (backdoor,), repair, further, _ = invert(findings, victim, evidence, config, seen(rows), sample)
    assert backdoor.suspects == {place for place, row in enumerate(rows) if row.poison_label}
    assert repair.untouched == sum(not row.poison_label for row in rows)

    def bare(text: str) -> str:
        return " ".join(word for word in text.split() if word not in RARE)

    assert {bare(text) for text, _ in further} <= {bare(rows[place].text) for place in sample}
    assert not {rows[place][:2] for place in backdoor.suspects} & set(further)
