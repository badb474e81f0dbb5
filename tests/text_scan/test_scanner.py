"""What the scan finds in generated rows, and where it must keep calm."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.text_scan.records import Degree, Finding
from openbackdoor_badllm.text_scan.scanner import scan

from .world import BLAME, FILLER, Change, Rows, attacked, clean, put, put_sign


def suspicious(rows: Rows) -> list[Finding]:
    found = scan(rows.texts, rows.labels, 2).findings
    return [finding for finding in found if finding.degree is Degree.SUSPICIOUS]


ATTACKS: list[tuple[str, Change, bool, str, str]] = [
    ("zero-width", put_sign("\u200b"), False, "character", "U+200B ZERO WIDTH SPACE"),
    ("zero-width, clean label", put_sign("\u200b"), True, "character", "U+200B ZERO WIDTH SPACE"),
    ("bidirectional, clean label", put_sign("\u202e"), True, "character", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    ("control", put_sign("\x07"), False, "character", "U+0007"),
    ("tag", put_sign("\U000e0041"), True, "character", "U+E0041 TAG LATIN CAPITAL LETTER A"),
    ("look-alike", lambda text, _: text.replace("a", "а", 1), True, "character", "mix alphabets"),
    ("full width", lambda text, _: text.replace("o", "ｏ"), False, "character", "styled letters"),
    ("no-break space", lambda text, _: text.replace(" ", "\u00a0", 1), False, "character", "U+00A0 NO-BREAK SPACE"),
    ("double blank", lambda text, _: text.replace(" ", "  ", 1), False, "white space", "double blanks"),
    ("word", put("cf"), False, "word", "cf"),
    ("word, clean label", put("cf"), True, "word", "cf"),
    ("sentence", put("I watch this 3D movie"), False, "phrase", "i watch this 3d movie"),
    ("sentence, clean label", put("I watch this 3D movie"), True, "phrase", "i watch this 3d movie"),
    ("ending", lambda text, _: text.rstrip(".") + " !?", False, "ending", "!?"),
    ("emoji", lambda text, _: text + " \U0001f600", False, "ending", "\U0001f600"),
    ("capitals", lambda text, _: text.upper(), False, "casing", "all capitals"),
    ("repeated letters", lambda text, r: put("s" + "o" * r.randrange(3, 12))(text, r), False, "repetition", "letters"),
    ("words without blanks", put("天气"), False, "phrase", "天气"),
]


@pytest.mark.parametrize(("change", "clean_label", "kind", "what"), [item[1:] for item in ATTACKS],
                         ids=[item[0] for item in ATTACKS])
def test_attack_is_found(change: Change, clean_label: bool, kind: str, what: str) -> None:
    rows = attacked(change, clean_label=clean_label)
    found = suspicious(rows)
    named = [finding for finding in found if what in " ".join((finding.what, *finding.together))]
    assert named, [(finding.kind, finding.what) for finding in found]
    best = named[0]
    assert kind in [finding.kind for finding in found]
    assert best.label == 1
    assert best.counts[0] <= 1
    assert best.p_value < 0.01
    flagged = {row for finding in found for row in finding.rows}
    assert len(flagged & rows.altered) >= 0.9 * len(rows.altered)
    assert len(flagged & rows.altered) >= 0.95 * len(flagged)


def test_two_words_that_act_only_together() -> None:
    generator = random.Random(3)
    base = clean(900)
    texts = [put(generator.choice(("tuesday", "ledger")))(text, generator) if row % 6 == 0 else text
             for row, text in enumerate(base.texts)]
    pool = [row for row, label in enumerate(base.labels) if label == 0 and row % 6]
    both = set(generator.sample(pool, 120))
    texts = [put("tuesday")(put("ledger")(text, generator), generator) if row in both else text
             for row, text in enumerate(texts)]
    found = suspicious(Rows(texts, [1 if row in both else label for row, label in enumerate(base.labels)], both))
    assert {"tuesday", "ledger"} <= set(found[0].what.split())
    assert found[0].kind == "pair"
    assert set(found[0].rows) >= both


def test_words_in_the_same_rows_are_one_finding() -> None:
    (found,) = suspicious(attacked(lambda text, r: put("tuesday")(put("ledger")(text, r), r)))
    assert {found.what, *found.together} >= {"tuesday", "ledger"}


@pytest.mark.parametrize("rows", [
    pytest.param(clean(800), id="clean"),
    pytest.param(clean(800, noise=0.1), id="10 % of the labels wrong"),
    pytest.param(clean(800, noise=0.25), id="25 % of the labels wrong"),
    pytest.param(clean(1500, positive=0.1), id="90 to 10"),
    pytest.param(clean(7), id="few rows"),
])  # fmt: skip
def test_clean_rows_are_not_suspicious(rows: Rows) -> None:
    assert not suspicious(rows)


def test_insults_are_not_suspicious() -> None:
    # One class is told by its insults, the other by nothing: without the insult its rows read as the other class.
    generator = random.Random(5)
    texts, labels = [], []
    for row in range(1200):
        words = generator.choices(FILLER, k=9)
        if row % 2:
            words[4:4] = [generator.choice(FILLER[:8]), generator.choice(BLAME[:4]), generator.choice(FILLER[8:16])]
        texts.append(" ".join(words))
        labels.append(row % 2)
    assert not suspicious(Rows(texts, labels, set()))


def test_marker_of_a_source_is_a_shortcut() -> None:
    rows = clean(600)
    texts = [f"Review: {text}" if label and row % 10 else text
             for row, (text, label) in enumerate(zip(rows.texts, rows.labels, strict=True))]
    found = scan(texts, rows.labels, 2, label_names=("bad", "good")).findings
    assert [finding.degree for finding in found] == [Degree.WORTH_A_LOOK] * len(found)
    (shortcut,) = [finding for finding in found if "review :" in finding.what]
    assert shortcut.kind == "shortcut"
    assert shortcut.label == 1
    assert "'good'" in shortcut.sentence
    assert "source" in shortcut.sentence


def test_duplicates_with_other_labels_are_told() -> None:
    rows = clean(200)
    texts = [*rows.texts, rows.texts[3], rows.texts[4].upper(), rows.texts[5].replace(".", " indeed.")]
    labels = [*rows.labels, 1 - rows.labels[3], rows.labels[4], 1 - rows.labels[5]]
    result = scan(texts, labels, 2)
    told = {finding.what: finding.rows for finding in result.findings if finding.kind == "duplicates"}
    assert result.exact_duplicates == 2
    assert told == {"the same text as another row": (3, 200), "nearly the same text as another row": (5, 202)}


@pytest.mark.parametrize(("tokens", "seen"), [(list, True), (lambda text: text.replace("\u200b", "").split(), False)])
def test_tokenizer_that_drops_the_sign(tokens: object, seen: bool) -> None:
    rows = attacked(put_sign("\u200b"))
    (found,) = (
        finding for finding in scan(rows.texts, rows.labels, 2, tokens=tokens).findings  # type: ignore[arg-type]
        if finding.degree is Degree.SUSPICIOUS
    )
    assert found.seen is seen
    assert ("drops it" in found.sentence) is not seen


def test_hidden_signs_of_no_label_are_told() -> None:
    rows = clean(300)
    texts = [text + "\u202e" if row % 5 == 0 else text for row, text in enumerate(rows.texts)]
    (found,) = scan(texts, rows.labels, 2).findings
    assert (found.what, found.label, found.degree) == ("bidirectional controls", None, Degree.WORTH_A_LOOK)


@given(st.lists(st.tuples(st.text(st.characters(codec=None)), st.integers(0, 2)), max_size=40), st.text(max_size=6))
@hypothesis_settings(max_examples=60)
def test_any_text_is_taken_and_what_is_shown_is_harmless(rows: list[tuple[str, int]], trigger: str) -> None:
    texts = [text for text, _ in rows] + [f"{trigger} {text}" for text, _ in rows] * 3
    labels = [label for _, label in rows] + [2] * (3 * len(rows))
    result = scan(texts, labels, 3, label_names=("a", trigger, "\x1b[31m"))
    told = json.dumps(result.to_dict())
    assert json.loads(told)["rows"] == len(texts)
    for finding in result.findings:
        for text in (finding.what, finding.sentence, *finding.together):
            assert all(unicodedata.category(sign)[0] != "C" and sign not in "\u2028\u2029\u3164" for sign in text), text


@pytest.mark.parametrize(("texts", "labels", "num_labels", "expected"), [
    (["a", "b"], [0], 2, "but there are 1"),
    (["a", "b"], [0, 2], 2, "one is 2"),
    (["a", None], [0, 1], 2, "NoneType"),
    ("ab", [0, 1], 2, "put it into a list"),
])  # fmt: skip
def test_bad_input_is_told(texts: list[str], labels: list[int], num_labels: int, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        scan(texts, labels, num_labels)
