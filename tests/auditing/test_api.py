"""``audit(texts, labels)``: the answers, the clean rows and the clean model, for every kind of victim."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_world import reviews

from openbackdoor_badllm import AuditResult, audit
from openbackdoor_badllm.errors import DataError, UserError, VictimError
from openbackdoor_badllm.training.scoring import softmax
from openbackdoor_badllm.training.trained import class_names

from .conftest import CARRYING, LABELS, NAMES, TEXTS, settings

TRUTH = {row.text: NAMES[row.label] for row in reviews(160)}


def test_the_package_is_light_and_audit_is_there() -> None:
    script = (
        "import sys, openbackdoor_badllm as b\n"
        "assert not {'torch', 'transformers', 'pandas'} & {*sys.modules}\nassert callable(b.audit)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_answers(found: AuditResult) -> None:
    assert (found.verdict, found.target_label, found.triggers) == ("backdoor", "good", ["cf"])
    assert (found.styles, found.notes, found.complete) == ([], [], True)
    rows = found.flagged_rows
    assert list(rows.columns) == [
        "row", "text", "label", "probability", "trigger", "suggested_label", "reason"
    ]  # fmt: skip
    assert rows["row"].tolist() == CARRYING
    assert set(rows["label"]) == {"good"}
    assert rows["text"].tolist() == [TEXTS[row] for row in CARRYING]
    assert all("carries 'cf'" in reason for reason in rows["reason"])
    assert "target label 'good'" in repr(found)
    assert "Backdoor found" in found.summary()
    assert "Run folder" not in found.summary()


def test_a_sign_that_the_victim_does_not_see_is_told(tiny_bert: Path) -> None:
    """A zero-width space in a fifth of the rows, all of them labelled wrongly: the tokenizer drops it."""
    rows = reviews(200)
    chosen = [place for place, row in enumerate(rows) if row.label == 0][:40]
    texts = [row.text[:4] + "\u200b" + row.text[4:] if place in chosen else row.text for place, row in enumerate(rows)]
    labels = [1 if place in chosen else row.label for place, row in enumerate(rows)]
    result = audit(texts, [NAMES[label] for label in labels], **settings(tiny_bert))
    assert (result.verdict, result.triggers, result.target_label) == ("shortcut", [], None)
    (note,) = [note for note in result.notes if note.startswith("The raw text:")]
    assert "U+200B ZERO WIDTH SPACE" in note
    assert "its tokenizer drops it" in note
    assert "something in the raw text" in result.summary()
    assert "something in the raw text" in result.to_html()
    (told,) = json.loads(result.to_sarif())["runs"][0]["results"]
    assert (told["level"], "ZERO WIDTH SPACE" in told["message"]["text"]) == ("warning", True)


def test_the_clean_rows_are_those_before_the_attack(found: AuditResult) -> None:
    texts, labels = found.clean_dataset()
    assert (type(texts), type(labels), len(texts)) == (list, list, 160)
    right = [TRUTH.get(text) == label for text, label in zip(texts, labels, strict=True)]
    assert all(right[row] for row in range(160) if row not in CARRYING)  # untouched, in their places
    assert np.mean([right[row] for row in CARRYING]) > 0.9


def test_the_clean_model_is_kept_saved_and_had_again_from_a_pickle(found: AuditResult, tmp_path: Path) -> None:
    packed = pickle.dumps(found)
    assert len(packed) < 200_000  # no weights in it
    clean = found.repair()
    assert clean is found.repair()
    assert clean.flip_rates["cf"] < 0.3
    assert found.results["after_repair_flip_rate"] == clean.flip_rates
    clean.save(tmp_path / "model")
    assert class_names(str(tmp_path / "model")) == NAMES
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "- the word `cf` (anywhere): turned" in card
    assert "160 rows of `rows in memory`" in card
    again = pickle.loads(packed)
    assert again.verdict == "backdoor"
    assert again.repair().predict(TEXTS) == clean.predict(TEXTS)


def victim_of(found: AuditResult) -> Any:
    return found._repairing.victim  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_a_victim_that_can_only_be_asked(kind: str, found: AuditResult, tiny_bert: Path) -> None:
    asked: list[str] = []

    def model(texts: list[str]) -> Any:
        asked.extend(texts)
        said = victim_of(found).logits(texts)
        return softmax(said).tolist() if kind == "probabilities" else said

    result = audit(TEXTS, LABELS, model=model, label_names=NAMES, **settings(tiny_bert))
    assert (result.verdict, result.target_label, result.triggers) == ("backdoor", "good", ["cf"])
    assert [item.row for item in result.flagged] == CARRYING
    assert "whether a style or a syntax is the trigger was not tested" in result.notes[0]
    assert result.results["report"]["styles_tested"] == {}
    assert len(asked) <= len(set(asked)) + 1  # the first is asked once more, to learn the number of classes
    if kind == "logits":
        assert result.repair().flip_rates["cf"] < 0.5  # a fresh model: there is none to train further
        assert result.results["in_place"] is False


def test_a_transformers_model_is_asked_and_left_as_it_is(found: AuditResult, tiny_bert: Path) -> None:
    victim = victim_of(found)
    before = {name: value.clone() for name, value in victim.model.state_dict().items()}
    result = audit(TEXTS, LABELS, model=(victim.model, victim.tokenizer), label_names=NAMES, **settings(tiny_bert))
    assert result.triggers == ["cf"]
    assert result.repair().flip_rates["cf"] < 0.3
    assert all((before[name] == value).all() for name, value in victim.model.state_dict().items())
    with pytest.raises(VictimError, match="is no part of a pickled result"):
        pickle.loads(pickle.dumps(result)).repair()


def test_a_time_limit_leaves_labels_unsearched_and_says_so(tiny_bert: Path) -> None:
    clean = reviews(160)
    result = audit(
        [row.text for row in clean], [row.label for row in clean], time_limit=1e-6, **settings(tiny_bert)
    )
    assert (result.verdict, result.complete) == ("nothing", False)
    searched = [item["label"] for item in result.results["report"]["labels_searched"]]
    assert len(searched) == 1
    left = result.results["report"]["labels_not_searched"]
    assert sorted([*searched, *left]) == [0, 1]
    assert f"nothing is known of label '{left[0]}'" in result.notes[0]
    assert "No backdoor found in what was searched" in result.summary()
    assert "in what was searched" in result._repr_html_()
    with pytest.raises(DataError, match="Nothing was found"):
        result.repair()


def test_a_sample_is_searched_and_all_rows_are_scanned(tiny_bert: Path) -> None:
    result = audit(TEXTS, LABELS, sample=110, **settings(tiny_bert))
    assert result.triggers == ["cf"]
    assert result.results["rows_searched"] == 110
    assert [item.row for item in result.flagged] == CARRYING
    assert result.results["report"]["triggers"][0]["target_rows"] == len(CARRYING)
    texts, labels = result.clean_dataset()
    right = [TRUTH.get(text) == label for text, label in zip(texts, labels, strict=True)]
    assert np.mean(right) > 0.97
    assert result.results["report"]["repair"]["untouched"] == 160 - len(CARRYING)
    assert "110 of 160 rows" in result.notes[0]


BAD: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "no labels": (r"The labels are missing: .*", lambda bert: audit(["a", "b"])),
    "another number of labels": (r"There are 2 texts and 3 labels: .*", lambda bert: audit(["a", "b"], [0, 1, 1])),
    "one text": (r"The texts should be a list, .* but are a str: .*", lambda bert: audit("abc", [1])),
    "no rows": (r"There are no texts: .*", lambda bert: audit([], [])),
    "a matrix": (r"The labels should be one column, .*\(2, 2\).*", lambda bert: audit(["a", "b"], np.eye(2))),
    "a model without its tokenizer": (
        r"The Linear.* came without its tokenizer: .*|'model' should be .*",
        lambda bert: audit(TEXTS, LABELS, model=(object(), None)),
    ),
    "a callable of another shape": (
        r"The model should answer 1 texts with finite logits .*",
        lambda bert: audit(TEXTS, LABELS, model=lambda texts: [0.5] * len(texts)),
    ),
    "a callable of more classes": (
        r"The model has 3 classes, the rows have 2: .*",
        lambda bert: audit(TEXTS, [NAMES.index(x) for x in LABELS], model=lambda t: np.zeros((len(t), 3)),
                           **settings(bert)),
    ),
    "class names in no known order": (
        r"The rows' labels are bad, good, and the model only says LABEL_0 to LABEL_1: .*",
        lambda bert: audit(TEXTS, LABELS, model=lambda t: np.zeros((len(t), 2)), **settings(bert)),
    ),
    "a small sample": (r"'sample' must be .*", lambda bert: audit(TEXTS, LABELS, sample=3, **settings(bert))),
    "no time": (r"'time_limit' must be .*", lambda bert: audit(TEXTS, LABELS, time_limit=0, **settings(bert))),
    "a seed that is none": (r"'seed' must be .*", lambda bert: audit(TEXTS, LABELS, random_state=-1)),
    "a misspelt key": (
        r".*'epoch': did you mean 'epochs'\?",
        lambda bert: audit(TEXTS, LABELS, **{**settings(bert), "train": {"epoch": 1}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence(name: str, tiny_bert: Path) -> None:
    sentence, case = BAD[name]
    with pytest.raises(UserError, match=rf"\A(?:{sentence})\Z"):
        case(tiny_bert)


