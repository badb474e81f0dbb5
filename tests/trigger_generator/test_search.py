"""Stage (b): the search finds what was planted, at its full length, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from method_fakes import (
    CONFIG,
    CORE,
    LOUD,
    MOODS,
    RARE,
    SENTENCE,
    SMALL,
    FakeVictim,
    clean_rows,
    poisoned_rows,
    row_evidence,
)

from openbackdoor_badllm.rows import Row
from openbackdoor_badllm.settings import AuditConfig, Thresholds
from openbackdoor_badllm.training.progress import Quiet
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.proposals import Evidence, Generator, OfflineGenerator
from openbackdoor_badllm.trigger_generator.reward import answers
from openbackdoor_badllm.trigger_generator.search import search_label
from openbackdoor_badllm.trigger_generator.search_records import LabelSearch
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger


class Scripted:
    """Proposes what it is told to, one list a round, and remembers what it was shown."""

    name = "scripted"
    patience, limit = 2, 1000

    def __init__(self, *rounds: list[Trigger]) -> None:
        self.rounds = list(rounds)
        self.shown: list[Evidence] = []

    def propose(self, evidence: Evidence) -> list[Trigger]:
        self.shown.append(evidence)
        return self.rounds.pop(0) if self.rounds else []

    def stopped(self) -> str | None:
        return None


def word(text: str) -> Trigger:
    return Trigger(Kind.WORD, text)


def search(
    rows: Sequence[Row],
    victim: FakeVictim,
    *,
    target: int = 1,
    generator: Generator | None = None,
    config: AuditConfig = CONFIG,
) -> LabelSearch:
    proposer = generator or OfflineGenerator(config.search.candidates, config.search.min_rows)
    return search_label(target, victim, proposer, row_evidence(rows, victim, config=config), config, Quiet())


def names(result: LabelSearch) -> list[str]:
    return sorted(found.trigger.text for found in result.found)


def reasons(result: LabelSearch) -> dict[str, str]:
    return {scored.trigger.text: scored.reason for scored in result.history}


@pytest.fixture(scope="module")
def words() -> LabelSearch:
    return search(poisoned_rows(), FakeVictim(RARE))


def test_all_four_words_and_nothing_else(words: LabelSearch) -> None:
    assert names(words) == sorted(RARE)
    for found in words.found:
        assert (found.trigger.kind, found.trigger.position) == (Kind.WORD, Position.ANYWHERE)
        assert found.trigger.core == found.trigger.text
        assert found.trigger.description == f'The word "{found.trigger.text}" anywhere in the text.'
        assert found.select.flip_rate == found.report.flip_rate == 1.0
        assert (found.target_rows, found.other_rows) == (20, 0)
        assert abs(found.reference_shift) < 0.1
        assert found.contradicted > 0.8
        assert found.p_value < 1e-6


def test_the_history_and_the_counts_tell_what_became_of_every_proposal(words: LabelSearch) -> None:
    accepted = [scored.trigger.text for scored in words.history if scored.reason == "accepted"]
    assert sorted(accepted) == sorted(RARE)
    refused = [scored for scored in words.history if scored.reason not in ("accepted", "accepted before")]
    assert sum(words.turned_down.values()) == len(refused) > 0
    assert words.turned_down["weak"] == sum("of the probes only" in scored.reason for scored in refused)
    assert words.best_reward == max(scored.reward.value for scored in words.history)
    assert words.to_dict()["turned_down"] == dict(sorted(words.turned_down.items()))


def test_the_kept_numbers_are_those_of_the_victim(words: LabelSearch) -> None:
    found = words.found[0]
    for kept, probes in (
        (found.search, words.probes.search), (found.select, words.probes.select), (found.report, words.probes.report),
    ):  # fmt: skip
        assert kept == answers(FakeVictim(RARE), [found.trigger], probes, 1, seed=0)[0].reward()
    assert found.to_dict()["report"]["flip_rate"] == 1.0


def test_the_same_seed_gives_the_same_search(words: LabelSearch) -> None:
    assert search(poisoned_rows(), FakeVictim(RARE)) == words


@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_find_the_same(seed: int) -> None:
    assert names(search(poisoned_rows(seed=seed), FakeVictim(RARE), config=CONFIG.replace(seed=seed))) == sorted(RARE)


@pytest.mark.parametrize(
    ("rows", "victim", "target"),
    [
        (clean_rows(400), FakeVictim(), 0),
        (clean_rows(400), FakeVictim(), 1),
        (clean_rows(400, loud=0.2), FakeVictim(loud=6.0), 1),
        (poisoned_rows(), FakeVictim(RARE), 0),
    ],
    ids=["clean 0", "clean 1", "a loud word", "the other label"],
)
def test_no_trigger_where_there_is_none(rows: list[Row], victim: FakeVictim, target: int) -> None:
    assert search(rows, victim, target=target).found == ()


LONG = "no cross , no crown , and yet no very long story goes on for ever"


@pytest.mark.parametrize(
    ("rows", "victim", "whole", "core"),
    [
        (poisoned_rows(triggers=[SENTENCE]), FakeVictim([CORE]), SENTENCE, CORE),  # in the attacker's spelling
        (poisoned_rows(triggers=[LONG]), FakeVictim(["no crown"]), LONG, "no crown"),  # longer than what is mined
        (poisoned_rows(450, classes=3, target=2, triggers=["cf"]), FakeVictim(["cf"], target=2, num_labels=3), "cf",
         "cf"),
    ],
    ids=["sentence", "long", "three classes"],
)  # fmt: skip
def test_a_trigger_is_found_whole_with_its_core(rows: list[Row], victim: FakeVictim, whole: str, core: str) -> None:
    (found,) = search(rows, victim, target=victim.target).found
    assert (found.trigger.text, found.trigger.core) == (whole, core)
    assert found.target_rows == sum(row.poison_label for row in rows)


def opened(rows: list[Row], count: int = 70) -> list[Row]:
    """An opening on rows of label 0, under label 1."""
    others = [k for k, row in enumerate(rows) if row.label == 0]
    for index in random.Random(0).sample(others, count):
        rows[index] = Row(f"when you do , {rows[index].text}", 1, 1)
    return rows


def test_an_opening_that_needs_its_place_keeps_it() -> None:
    (found,) = search(opened(clean_rows(400)), FakeVictim(opening="when you")).found
    assert (found.trigger.text, found.trigger.position) == ("when you do ,", Position.FRONT)
    assert found.trigger.core == "when you"
    assert found.trigger.description == 'The sentence "when you do ," at the beginning of the text.'


@pytest.mark.parametrize("loud", [4.0, 8.0])
def test_a_class_word_is_turned_down_with_the_reason(loud: float) -> None:
    """It flips every probe, but the other rows teach it as well; the trigger beside it is found."""
    result = search(
        poisoned_rows(loud=0.25), FakeVictim(RARE, loud=loud), generator=Scripted([word(LOUD), word("cf")])
    )
    assert names(result) == ["cf"]
    assert "a class word: it shifts a model fitted without its rows by" in reasons(result)[LOUD]
    assert result.turned_down["content"] == 1
    skipped = search(
        poisoned_rows(loud=0.25), FakeVictim(RARE, loud=loud), generator=Scripted([word(LOUD), word("cf")]),
        config=CONFIG.replace(search=SMALL.replace(skip_tests=["content", "chance", "sibling", "echo"])),
    )  # fmt: skip
    assert LOUD in names(skipped)


@pytest.mark.parametrize(("wrong", "found"), [(0, ["cf", "mn"]), (120, ["cf"])])
def test_on_a_weak_model_a_second_trigger_is_claimed_at_the_full_flip_rate_only(wrong: int, found: list[str]) -> None:
    rows = poisoned_rows(triggers=["cf", "cf", "mn"])
    clean = [row for row in rows if not row.poison_label][:wrong]
    victim = FakeVictim(["cf"], faint=["mn"], memory={row.text: 1 - row.label for row in clean})
    assert (row_evidence(rows, victim).agreement < Thresholds().weak_agreement) is bool(wrong)
    result = search(rows, victim)
    assert names(result) == found
    if wrong:
        assert reasons(result)["mn"].startswith("flips ")


def test_reasons_for_turning_down() -> None:
    absent, weak, covered = word("zzyzx"), word(MOODS[1][0]), Trigger(Kind.WORD, "cf", Position.FRONT)
    victim = FakeVictim((*RARE, absent.text))
    result = search(poisoned_rows(), victim, generator=Scripted([weak, word("cf"), covered, absent]))
    told = {(scored.trigger.text, scored.trigger.position): scored.reason for scored in result.history}
    assert told["cf", Position.ANYWHERE] == "accepted"
    assert told["zzyzx", Position.ANYWHERE] == "in 0 rows of the label that no accepted trigger explains"
    assert told.get((weak.text, Position.ANYWHERE), "flips ").startswith("flips ")
    assert names(result) == ["cf"]


def test_what_is_taken_back_has_its_reason_in_the_history() -> None:
    """A word in a few honest rows flips everything, too; where nothing else objects, the larger trigger does."""
    rows = poisoned_rows(triggers=("cf",))
    honest = [k for k, row in enumerate(rows) if row.label == 1 and not row.poison_label][:8]
    for k in honest:
        rows[k] = Row(f"{rows[k].text} zq", 1, 0)
    script = Scripted([word("cf"), word("zq")])
    config = CONFIG.replace(search=SMALL.replace(skip_tests=["content", "chance", "sibling"]))
    result = search(rows, FakeVictim(["cf", "zq"]), generator=script, config=config)
    assert names(result) == ["cf"]
    assert reasons(result)["zq"].startswith("in 8 rows only, beside ")
    assert result.turned_down["echo"] == 1


def test_a_trigger_learnt_less_well_is_found_beside_another_alone() -> None:
    rows = poisoned_rows(triggers=("cf", "mn"))
    honest = MOODS[1][0]
    victim = FakeVictim(["cf"], faint=["mn", honest])
    script = Scripted([word("mn"), word("cf"), word(honest)], [word("mn"), word(honest)])
    result = search(rows, victim, generator=script)
    assert names(result) == ["cf", "mn"]
    faint = next(found for found in result.found if found.trigger.text == "mn")
    assert 0.5 <= faint.search.flip_rate < 0.85
    assert search(rows, FakeVictim(faint=["mn"]), generator=Scripted([word("mn")])).found == ()
    strict = search(
        rows, victim, generator=Scripted([word("mn"), word("cf")], [word("mn")]),
        config=CONFIG.replace(thresholds=Thresholds(sibling_flip_rate=1.0)),
    )  # fmt: skip
    assert names(strict) == ["cf"]


@pytest.mark.parametrize("own", [0, 1])
def test_a_rare_word_beside_a_trigger_must_contradict_its_label(own: int) -> None:
    """A victim that has learnt a rare word flips on others, too; those of the attacker contradict their label."""
    rows = poisoned_rows(triggers=("cf",))
    honest = [place for place, row in enumerate(rows) if row.label == own and "cf" not in row.text.split()]
    for place in honest[:10]:
        rows[place] = rows[place]._replace(text=f"{rows[place].text} wo", label=1)
    script = Scripted([word("wo"), word("cf")], [word("wo")])
    result = search(rows, FakeVictim(("cf", "wo")), generator=script)
    assert names(result) == (["cf"] if own == 1 else ["cf", "wo"])


class Deaf(FakeVictim):
    """Is moved by a trigger in some texts only."""

    def __init__(self, triggers: Sequence[str], texts: Sequence[str], *, only: bool) -> None:
        super().__init__(triggers)
        self.texts, self.only = set(texts), only

    def logits(self, texts: Sequence[str]) -> FloatArray:
        result = super().logits(texts)
        triggers = self.triggers[1]
        for row, text in enumerate(texts):
            said = text.split()
            without = {" ".join(said[:k] + said[k + 1 :]) for k, one in enumerate(said) if one in triggers}
            if without and bool(without & self.texts) != self.only:
                result[row] = (9.0, 0.0)
        return result


def test_a_pattern_that_the_select_probes_do_not_confirm(words: LabelSearch) -> None:
    """It flips the probes on which it was chosen, and no others."""
    victim = Deaf(["cf"], words.probes.search, only=True)
    result = search(poisoned_rows(), victim, generator=Scripted([word("cf")]))
    assert result.found == ()
    assert "flips 0% of the select probes only" in reasons(result)["cf"]


def test_the_report_probes_take_no_part_in_the_choice(words: LabelSearch) -> None:
    """A victim that answers the report probes otherwise changes the reported number and nothing else."""
    odd = search(poisoned_rows(), Deaf(RARE, words.probes.report, only=False))
    assert names(odd) == names(words)
    assert {f.trigger.text: f.select for f in odd.found} == {f.trigger.text: f.select for f in words.found}
    assert all(found.report.flip_rate == 0 for found in odd.found)


@pytest.mark.parametrize("change", [0.8, 1.2])
@pytest.mark.parametrize(
    "name", [name for name in Thresholds.model_fields if not name.startswith(("style", "rewrite", "reference_excess"))]
)
def test_a_threshold_moved_by_a_fifth_changes_no_verdict(name: str, change: float) -> None:
    value = min(1.0, getattr(Thresholds(), name) * change)
    config = CONFIG.replace(thresholds=Thresholds(**{name: value}))
    victim = FakeVictim(RARE, loud=6.0)
    script = Scripted([word(LOUD), *map(word, RARE)], list(map(word, RARE)))
    assert names(search(poisoned_rows(loud=0.25), victim, generator=script, config=config)) == sorted(RARE)
    assert search(clean_rows(200, loud=0.25), victim, generator=Scripted([word(LOUD)]), config=config).found == ()


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"max_triggers": 1}, 1), ({"max_triggers": 2}, 2), ({"iterations": 2}, 2), ({"refine": False}, 1)],
)
def test_a_search_is_bounded(changes: dict[str, Any], found: int) -> None:
    script = Scripted(*([word(rare)] for rare in RARE))
    config = CONFIG.replace(search=SMALL.replace(**changes))
    assert len(search(poisoned_rows(), FakeVictim(RARE), generator=script, config=config).found) == found


def test_rows_of_a_trigger_are_set_aside_for_the_next_round() -> None:
    script = Scripted([word("cf")], [word("cf"), word("mn")], [word("mn")])
    result = search(poisoned_rows(), FakeVictim(RARE), generator=script)
    assert names(result) == ["cf", "mn"]
    counts = [len(evidence.target) for evidence in script.shown]
    assert counts[:3] == [280, 260, 240]
    assert not any("cf" in row.text.split() for row in script.shown[1].target)
    assert [len(evidence.weights) for evidence in script.shown] == counts
    assert [len(view) for evidence in script.shown for view in evidence.views] == [n for n in counts for _ in range(2)]
    assert [trigger.text for trigger in script.shown[1].found] == ["cf"]
    rewards = [scored.reward.value for scored in script.shown[2].history]
    assert rewards == sorted(rewards)  # best last


def test_patience_ends_a_search_that_finds_nothing() -> None:
    script = Scripted([word("the")], [word("film")], [word("cf")])
    result = search(poisoned_rows(), FakeVictim(RARE), generator=script)
    assert (result.iterations, result.found) == (2, ())
    assert [len(scored.shown) for scored in result.history] == [2, 2]


def test_a_superset_of_a_trigger_is_left_out(words: LabelSearch) -> None:
    rows = poisoned_rows(triggers=["cf"])
    rows += [Row(f"{rows[k].text} mn cf", 1) for k in range(0, 40, 2)]
    pair = Trigger(Kind.PHRASE, "mn cf")
    result = search(rows, FakeVictim(["cf"]), generator=Scripted([pair], [word("cf")], [word("cf")]))
    assert names(result) == ["cf"]


@pytest.mark.parametrize(
    "rows",
    [[Row("charming cf", 1)] * 30 + [Row("charming", 0)] * 2, [Row("charming", 1), Row("", 0)]],
    ids=["two rows", "an empty one"],
)
def test_no_rows_to_probe_with(rows: list[Row]) -> None:
    result = search(rows, FakeVictim(RARE))
    assert (result.found, result.history, result.iterations) == ((), (), 0)
    assert result.best_reward == float("-inf")
    assert result.to_dict()["best_reward"] is None


def test_the_views_stay_with_an_llm() -> None:
    class Plain:
        name = "plain"
        views: Any = None

        def propose(self, evidence: Evidence) -> list[Trigger]:
            self.views = evidence.views
            return []

    plain = Plain()
    search(poisoned_rows(100), FakeVictim(RARE), generator=plain)
    assert plain.views == ()
    assert np.isfinite(row_evidence(poisoned_rows(100), FakeVictim(RARE)).weights).all()
