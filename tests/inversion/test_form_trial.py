"""When a form counts: what it must teach, alone and beside a rewriting trigger that has been accepted."""

from __future__ import annotations

import numpy as np
import pytest
from openbackdoor_badllm.inversion import form_trial

from inversion.fakes import SMALL, FakeEmbedder, FakeVictim, FormTrainer, form_rows, seen
from openbackdoor_badllm.report import AuditConfig, Finding
from openbackdoor_badllm.target_identification.content_reference import Judge
from openbackdoor_badllm.trigger_generator.reward import Probes, Reward
from openbackdoor_badllm.trigger_generator.search_records import Found, SearchResult
from openbackdoor_badllm.trigger_generator.shared_style import Generalisation
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger
from openbackdoor_badllm.trigger_generator.unlearning import look_for_form
from openbackdoor_badllm.trigger_inversion.attribution import Flagged

REWRITE = Trigger(Kind.REWRITE, "say it in an old way")


def looked(
    moved: float,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rewriting: bool = False,
    surprise: float = 0.0,
    p_value: float = 1e-6,
    victim: FakeVictim | None = None,
    probes: tuple[str, ...] = ("a dull film", "the plot is awful", "it was stale and bleak"),
) -> Finding:
    """A finding after the search for a form that moves as much as ``moved``."""
    told = Generalisation(taught=0.5 + moved / 2, untaught=0.5, rows=20, p_value=p_value)
    monkeypatch.setattr(form_trial, "generalises", lambda *_: told)
    examples = seen(form_rows())
    held_out = Judge(FakeEmbedder(), examples, 2, 0).held_out()
    strong = Reward(-0.1, 1.0, 10)
    found = [Found(REWRITE, strong, strong, strong, 0.0, 0, 0, 0.0, 1.0)] if rewriting else []
    result = SearchResult(1, found=found, probes=Probes((), (), probes))
    finding = Finding(1, result, backdoor=rewriting)
    weights = np.ones(len(examples), dtype=np.float32)
    victim = victim or FormTrainer()(examples, balanced=True, trace=None)
    look_for_form(
        finding, examples, held_out, weights, victim, FormTrainer(), AuditConfig(search=SMALL),
        beside_insertions=False, sparing=False, surprise=surprise,
    )
    return finding


@pytest.mark.parametrize(("moved", "rewriting", "taken"), [
    (0.6, False, True), (0.5, False, False), (0.5, True, True), (0.2, True, False),
])  # fmt: skip
def test_a_form_must_teach_less_where_a_rewriting_trigger_speaks_for_it(
    moved: float, rewriting: bool, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = looked(moved, monkeypatch, rewriting=rewriting)
    assert (finding.form is not None) is taken
    assert bool(finding.flagged) is taken
    assert finding.backdoor is (taken or rewriting)


@pytest.mark.parametrize(("moved", "surprise", "taken"), [(0.5, 0.9, True), (0.5, 0.7, False), (0.2, 0.9, False)])
def test_a_form_must_teach_less_where_stage_a_speaks_loud(
    moved: float, surprise: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(moved, monkeypatch, surprise=surprise).backdoor is taken
    assert not looked(moved, monkeypatch, surprise=surprise, victim=FakeVictim()).backdoor  # it must carry over, too


def test_what_one_row_does_is_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked(0.9, monkeypatch).form is not None
    assert looked(0.9, monkeypatch, p_value=0.5).form is None


def test_a_form_must_take_other_texts_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a kind of their own teach their label to each other, and to no other text."""
    taken = looked(0.9, monkeypatch)
    assert taken.generalisation is not None
    assert taken.generalisation.carried == 1.0
    alone = looked(0.9, monkeypatch, victim=FakeVictim())
    assert alone.form is None
    assert not alone.backdoor
    assert alone.generalisation is not None
    assert alone.generalisation.to_dict()["carried"] <= 0.1
    assert looked(0.9, monkeypatch, victim=FakeVictim(), rewriting=True).form is not None  # its trigger has shown it
    untold = looked(0.9, monkeypatch, victim=FakeVictim(), probes=())
    assert untold.form is not None
    assert untold.generalisation is not None
    assert "carried" not in untold.generalisation.to_dict()


def test_rows_are_asked_about_without_inserted_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever form they share, such words move them; an opening may be the mark of the form itself."""
    asked: list[list[str]] = []
    monkeypatch.setattr(
        form_trial, "generalises",
        lambda taught, untaught, texts, target: asked.append(list(texts)) or Generalisation(0.5, 0.5),
    )  # fmt: skip
    examples = seen(form_rows())
    held_out = Judge(FakeEmbedder(), examples, 2, 0).held_out()
    weights = np.ones(len(examples), dtype=np.float32)
    victim = FormTrainer()(examples, balanced=True, trace=None)
    places = {example.text: index for index, example in enumerate(examples)}

    def ask(trigger: Trigger, *rows: int) -> list[str]:
        flagged = [Flagged(row, (trigger,), f"what is left of {row}", 1.0) for row in rows]
        look_for_form(
            Finding(1, SearchResult(1), flagged=flagged), examples, held_out, weights, victim, FormTrainer(),
            AuditConfig(search=SMALL), beside_insertions=False, sparing=False,
        )  # fmt: skip
        return asked.pop()

    word, opening = Trigger(Kind.WORD, "thou"), Trigger(Kind.WORD, "thou", Position.FRONT)
    plain = ask(word)
    row = places[plain[0]]
    assert ask(word, row) == [f"what is left of {row}", *plain[1:]]
    assert ask(opening, row) == plain
