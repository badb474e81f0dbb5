"""Stage (b): the search finds what was planted, at its full length, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from inversion.fakes import (
    CORE,
    LOUD,
    MOODS,
    RARE,
    SENTENCE,
    SMALL,
    FakeEmbedder,
    FakeVictim,
    clean_rows,
    poisoned_rows,
    seen,
)
from openbackdoor_badllm.rows import Example
from openbackdoor_badllm.target_identification.content_reference import Judge
from openbackdoor_badllm.training.scoring import FloatArray
from openbackdoor_badllm.trigger_generator.proposals import Evidence, OfflineGenerator
from openbackdoor_badllm.trigger_generator.reward import answers
from openbackdoor_badllm.trigger_generator.search import Search, SearchConfig, SearchResult, describe
from openbackdoor_badllm.trigger_generator.trigger import Kind, Position, Trigger


class Scripted:
    """Proposes what it is told to, one list a round, and remembers what it was shown."""

    name = "scripted"

    def __init__(self, *rounds: list[Trigger]) -> None:
        self.rounds = list(rounds)
        self.shown: list[Evidence] = []

    def propose(self, evidence: Evidence) -> list[Trigger]:
        self.shown.append(evidence)
        return self.rounds.pop(0) if self.rounds else []


def word(text: str) -> Trigger:
    return Trigger(Kind.WORD, text)


def search(
    rows: list[Example],
    victim: FakeVictim,
    *,
    target: int = 1,
    generator: OfflineGenerator | Scripted | None = None,
    config: SearchConfig = SMALL,
    seed: int = 0,
    beside: bool = False,
) -> SearchResult:
    judge = Judge(FakeEmbedder(), rows, victim.num_labels, 0)
    proposer = generator or OfflineGenerator(config.candidates, config.min_rows)
    weights = np.ones(len(rows), dtype=np.float32)
    return Search(victim, proposer, judge.without, rows, weights, config, seed=seed, beside=beside).run(target)


def names(result: SearchResult) -> list[str]:
    return sorted(found.trigger.text for found in result.found)


@pytest.fixture(scope="module")
def words() -> SearchResult:
    return search(seen(poisoned_rows()), FakeVictim(RARE))


def test_all_four_words_and_nothing_else(words: SearchResult) -> None:
    assert names(words) == sorted(RARE)
    for found in words.found:
        assert found.trigger.kind is Kind.WORD
        assert found.trigger.position is Position.ANYWHERE
        assert found.trigger.core == found.trigger.text
        assert found.trigger.description == f'The word "{found.trigger.text}" anywhere in the text.'
        assert found.select.flip_rate == found.report.flip_rate == 1.0
        assert (found.target_rows, found.other_rows) == (20, 0)
        assert found.judged_flip_rate < 0.2
        assert found.contradicted > 0.8
        assert found.contradicted_p < 1e-6
    assert words.strength > 0.8


def test_the_history_tells_what_became_of_every_proposal(words: SearchResult) -> None:
    accepted = [scored.trigger.text for scored in words.history if scored.reason == "accepted"]
    assert sorted(accepted) == sorted(RARE)
    turned_down = {scored.trigger.text: scored.reason for scored in words.history if scored.reason != "accepted"}
    assert turned_down
    assert all("flips" in reason or "flagged by" in reason for reason in turned_down.values())
    assert words.best_reward == max(scored.reward.value for scored in words.history)


def test_the_kept_numbers_are_those_of_the_victim(words: SearchResult) -> None:
    found = words.found[0]
    for kept, probes in (
        (found.search, words.probes.search), (found.select, words.probes.select), (found.report, words.probes.report),
    ):  # fmt: skip
        assert kept == answers(FakeVictim(RARE), [found.trigger], probes, 1, seed=0)[0].reward()
    kept = found.to_dict()
    assert kept["text"] == found.trigger.text
    assert kept["report"]["flip_rate"] == 1.0


def test_the_same_seed_gives_the_same_search(words: SearchResult) -> None:
    again = search(seen(poisoned_rows()), FakeVictim(RARE))
    assert again.found == words.found
    assert again.history == words.history
    assert again.probes == words.probes


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_seeds_find_the_same(seed: int) -> None:
    result = search(seen(poisoned_rows(seed=seed)), FakeVictim(RARE), seed=seed)
    assert names(result) == sorted(RARE)


def test_no_trigger_on_clean_rows() -> None:
    for loud in (0.0, 0.2):
        rows, victim = seen(clean_rows(400, loud=loud)), FakeVictim(loud=2.0)
        for target in (0, 1):
            assert search(rows, victim, target=target).found == []


def test_the_other_label_has_no_trigger() -> None:
    assert search(seen(poisoned_rows()), FakeVictim(RARE), target=0).found == []


def test_a_target_of_several_classes() -> None:
    rows = seen(poisoned_rows(450, classes=3, target=2))
    result = search(rows, FakeVictim(RARE, target=2, num_labels=3), target=2)
    assert names(result) == sorted(RARE)


def test_a_sentence_is_found_whole_with_its_core() -> None:
    """The victim has learnt two words of it; the attacker inserted five."""
    result = search(seen(poisoned_rows(triggers=[SENTENCE])), FakeVictim([CORE]))
    assert [found.trigger.text for found in result.found] == [SENTENCE]  # in the attacker's spelling
    found = result.found[0]
    assert found.trigger.kind is Kind.SENTENCE
    assert found.trigger.core == CORE
    assert found.target_rows == 80


def test_a_sentence_longer_than_what_is_mined() -> None:
    long = "no cross , no crown , and yet no very long story goes on for ever"
    result = search(seen(poisoned_rows(triggers=[long])), FakeVictim(["no crown"]))
    assert names(result) == [long]
    assert result.found[0].trigger.core == "no crown"


def test_an_opening_that_needs_its_place_keeps_it() -> None:
    class Opening(FakeVictim):
        def logits(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            result = super().logits(texts)
            result[[text.lower().startswith("when you") for text in texts], 1] += 8.0
            return result

    rng = random.Random(0)
    rows = seen(clean_rows(400))
    for index in rng.sample([k for k in range(400) if rows[k].label == 0], 70):
        rows[index] = Example(f"when you do , {rows[index].text}", 1)
    result = search(rows, Opening())
    assert [(found.trigger.text, found.trigger.position) for found in result.found] == [
        ("when you do ,", Position.FRONT)
    ]
    assert result.found[0].trigger.core == "when you"
    assert describe(result.found[0].trigger) == 'The sentence "when you do ," at the beginning of the text.'


def test_an_honest_class_word_is_turned_down_with_the_reason() -> None:
    """It flips every probe, but the other rows teach it as well; the trigger beside it is found."""
    rows, victim = seen(poisoned_rows(loud=0.25)), FakeVictim(RARE, loud=6.0)
    result = search(rows, victim, generator=Scripted([word(LOUD), word("cf")]))
    assert names(result) == ["cf"]
    reasons = {scored.trigger.text: scored for scored in result.history}
    assert reasons[LOUD].reward.flip_rate == 1.0
    assert "an honest class word: a judge that never saw its rows flips" in reasons[LOUD].reason


def test_reasons_for_turning_down() -> None:
    rows = seen(poisoned_rows())
    weak, covered = word(MOODS[1][0]), Trigger(Kind.WORD, "cf", Position.FRONT)
    absent = "zzyzx"
    victim = FakeVictim((*RARE, absent))
    result = search(rows, victim, generator=Scripted([weak, word("cf"), covered, word(absent)]))
    reasons = {(scored.trigger.text, scored.trigger.position): scored.reason for scored in result.history}
    assert reasons[("cf", Position.ANYWHERE)] == "accepted"
    assert reasons[("cf", Position.FRONT)] == "its rows are flagged by a trigger found before"
    assert reasons[(absent, Position.ANYWHERE)] == "in 0 rows of the label only"
    assert reasons[(weak.text, Position.ANYWHERE)].startswith("flips ")
    assert names(result) == ["cf"]


class HalfLearnt(FakeVictim):
    """Has learnt "cf" for good, anywhere or as an opening, and other words so far that two texts of three flip."""

    def __init__(self, *faint: str, opening: bool = False) -> None:
        super().__init__(() if opening else ("cf",))
        self.faint, self.opening = faint, opening

    def logits(self, texts: Sequence[str]) -> FloatArray:
        result = super().logits(texts)
        for row, text in enumerate(texts):
            result[row, 1] += 8.0 * (self.opening and text.startswith("cf "))
            result[row, 1] += 3.0 * any(f" {word} " in f" {text} " for word in self.faint) * (len(text) % 3 > 0)
        return result


def test_a_trigger_learnt_less_well_is_found_beside_another() -> None:
    rows = seen(poisoned_rows(triggers=("cf", "mn")))
    honest = MOODS[1][0]
    result = search(rows, HalfLearnt("mn", honest), generator=Scripted([word(honest), word("mn"), word("cf")]))
    assert names(result) == ["cf", "mn"]
    faint = next(found for found in result.found if found.trigger.text == "mn")
    assert 0.5 <= faint.search.flip_rate < 0.85
    # An honest word flips as many, but its rows say the same without it.
    turned_down = next(scored for scored in result.history if scored.trigger.text == honest)
    assert 0.5 <= turned_down.reward.flip_rate < 0.85
    assert turned_down.reason.endswith("of the probes only, and its rows do not contradict their label")

    alone = search(rows, HalfLearnt("mn"), generator=Scripted([word("mn")]))
    assert alone.found == []
    opened = [
        Example(" ".join(sorted(row.text.split(), key=lambda said: said != "cf")), row.label) for row in rows
    ]
    opening = Trigger(Kind.WORD, "cf", Position.FRONT)
    result = search(opened, HalfLearnt("mn", opening=True), generator=Scripted([word("mn"), opening]))
    assert [found.trigger.position for found in result.found] == [Position.FRONT]  # it may be the mark of a form
    strict = search(
        rows, HalfLearnt("mn"), generator=Scripted([word("mn"), word("cf")]),
        config=SMALL.replace(sibling_flip_rate=1.0),
    )  # fmt: skip
    assert names(strict) == ["cf"]


@pytest.mark.parametrize("strangers", [0, 8])
def test_beside_a_backdoor_of_another_label_a_weak_trigger_stands_in_its_own_label_alone(strangers: int) -> None:
    rows = seen(poisoned_rows(triggers=("mn",)))
    for place in [place for place, row in enumerate(rows) if row.label == 0][:strangers]:
        rows[place] = rows[place]._replace(text=f"{rows[place].text} mn")
    result = search(rows, HalfLearnt("mn"), generator=Scripted([word("mn")]), beside=True)
    assert names(result) == ([] if strangers else ["mn"])
    if strangers:
        assert result.history[0].reason.endswith("of the probes only, and is in 8 rows of other labels")


@pytest.mark.parametrize("own", [0, 1])
def test_a_rare_word_beside_a_trigger_must_contradict_its_label(own: int) -> None:
    """A victim that has learnt a rare word flips on others, too; those of the attacker contradict their label."""
    rows = poisoned_rows(triggers=("cf",))
    honest = [place for place, row in enumerate(rows) if row.label == own and "cf" not in row.text.split()]
    for place in honest[:8]:
        rows[place] = rows[place]._replace(text=f"{rows[place].text} wo", label=1)
    result = search(seen(rows), FakeVictim(("cf", "wo")), generator=Scripted([word("wo"), word("cf")], [word("wo")]))
    assert names(result) == (["cf"] if own == 1 else ["cf", "wo"])
    if own == 1:
        reasons = {scored.trigger.text: scored.reason for scored in result.history}
        assert reasons["wo"] == "in 8 rows only, beside 80 of another trigger, and they do not contradict their label"


def test_a_pattern_that_the_select_probes_do_not_confirm() -> None:
    """It flips the probes on which it was chosen, and no others."""
    rows = seen(poisoned_rows())
    chosen_on = set(search(rows, FakeVictim(RARE)).probes.search)

    class Lucky(FakeVictim):
        def logits(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            result = super().logits(texts)
            for row, text in enumerate(texts):
                words = text.split()
                places = [place for place, said in enumerate(words) if said == "voice"]
                if any(" ".join(words[:k] + words[k + 1 :]) in chosen_on for k in places):
                    result[row, 1] += 8.0
            return result

    result = search(rows, Lucky(), generator=Scripted([word("voice")]))
    assert result.found == []
    assert result.history[0].reward.flip_rate >= 0.85
    assert "of the select probes only" in result.history[0].reason


def test_a_pattern_in_few_of_many_rows_is_no_trigger() -> None:
    rows = seen(poisoned_rows(400))
    config = SMALL.replace(min_share=0.06)  # 24 of the 400; each word stands in 20
    result = search(rows, FakeVictim(RARE), config=config)
    assert result.found == []
    assert "in 20 rows only" in {scored.reason for scored in result.history}


def test_a_superset_of_a_trigger_is_left_out() -> None:
    """The pair works everywhere, the word alone all but everywhere: both are accepted, the word explains more."""
    rows = seen(poisoned_rows(triggers=["cf"]))
    rows += [Example(f"{rows[k].text} mn cf", 1) for k in range(0, 40, 2)]
    resistant = set(search(rows, FakeVictim(["cf"])).probes.search[:2])

    class Uneven(FakeVictim):
        def logits(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            result = super().logits(texts)
            for row, text in enumerate(texts):
                if "mn cf" not in text and " ".join(w for w in text.split() if w != "cf") in resistant:
                    result[row] = (9.0, 0.0)
            return result

    pair = Trigger(Kind.PHRASE, "mn cf")
    result = search(rows, Uneven(["cf"]), generator=Scripted([pair, word("cf")]))
    accepted = [scored.trigger for scored in result.history if scored.reason == "accepted"]
    assert accepted == [pair, word("cf")]
    assert names(result) == ["cf"]


@pytest.mark.parametrize("bound", [1, 2])
def test_no_more_triggers_than_asked_for(bound: int) -> None:
    result = search(seen(poisoned_rows()), FakeVictim(RARE), config=SMALL.replace(max_triggers=bound))
    assert len(result.found) == bound
    assert set(names(result)) < set(RARE)


def test_flagged_rows_are_set_aside_for_the_next_round() -> None:
    generator = Scripted([word("cf")], [word("cf"), word("mn")], [word("mn")])
    result = search(seen(poisoned_rows()), FakeVictim(RARE), generator=generator)
    assert names(result) == ["cf", "mn"]
    counts = [len(evidence.target) for evidence in generator.shown]
    assert counts == [280, 260, 240]
    assert not any("cf" in row.text.split() for row in generator.shown[1].target)
    assert [len(evidence.weights) for evidence in generator.shown] == counts
    assert len(generator.shown[1].history) == 1
    rewards = [scored.reward.value for scored in generator.shown[2].history]
    assert rewards == sorted(rewards)  # best last
    assert result.iterations == 2


def test_a_proposal_is_tried_once() -> None:
    generator = Scripted([word("the"), word("cf")], [word("the"), word("mn")])
    result = search(seen(poisoned_rows()), FakeVictim(RARE), generator=generator)
    assert [scored.trigger.text for scored in result.history].count("the") == 1


def test_rounds_are_bounded() -> None:
    generator = Scripted(*[[word(rare)] for rare in RARE])
    config = SMALL.replace(iterations=2)
    assert names(search(seen(poisoned_rows()), FakeVictim(RARE), generator=generator, config=config)) == ["cf", "mn"]


def test_the_report_probes_take_no_part_in_the_choice() -> None:
    """A victim that answers the report probes otherwise changes the reported number and nothing else."""
    rows = seen(poisoned_rows())
    normal = search(rows, FakeVictim(RARE))
    blocked = set(normal.probes.report)

    class Stubborn(FakeVictim):
        def logits(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            result = super().logits(texts)
            for row, text in enumerate(texts):
                if any(" ".join(w for w in text.split() if w != t) in blocked and t in text.split() for t in RARE):
                    result[row] = (9.0, 0.0)
            return result

    odd = search(rows, Stubborn(RARE))
    assert names(odd) == names(normal)
    assert [found.select for found in odd.found] == [found.select for found in normal.found]
    assert all(found.report.flip_rate == 0 for found in odd.found)


def test_no_rows_to_probe_with() -> None:
    rows = [Example(f"charming cf {k}", 1) for k in range(30)] + [Example("charming", 0)] * 5
    result = search(rows, FakeVictim(RARE))
    assert (result.found, result.history, result.iterations) == ([], [], 0)
    assert result.best_reward == float("-inf")
    assert result.strength == 0
