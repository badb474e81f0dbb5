"""An audit of a model alone: in Python and by the command, what it says it cannot know, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from tiny_world import reviews, write_csv

from openbackdoor_badllm import AuditResult, audit_model
from openbackdoor_badllm.auditing import json_schema
from openbackdoor_badllm.auditing.inputs import texts_of_file
from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_FOUND, EXIT_OK, ConfigError, DataError, UserError
from openbackdoor_badllm.training.trained import save_trained

from .conftest import NAMES
from .test_formats import HOSTILE, sarif_checks

TEXTS = [row.text for row in reviews(160, seed=9)]
SEARCH = {"probe_rows": 16, "candidates": 12, "pairs": 0, "silent_shift": 1.0, "reference_shift": 1.0}
"""The tiny encoder of random weights knows no class words: what is told of them is tested with an encoder that does."""


@pytest.fixture(scope="module")
def folder(found: AuditResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The poisoned tiny victim of the audit of rows, saved with its class names."""
    made = tmp_path_factory.mktemp("victim")
    save_trained(found._repairing.victim, made, NAMES)  # type: ignore[union-attr, arg-type]
    return made


@pytest.fixture(scope="module")
def alone(folder: Path, tiny_bert: Path) -> AuditResult:
    result: AuditResult = audit_model(str(folder), TEXTS, encoder=str(tiny_bert), search=SEARCH, device="cpu")
    return result


def test_the_trigger_is_found_and_what_cannot_be_known_is_said(alone: AuditResult) -> None:
    assert (alone.verdict, alone.target_label) == ("backdoor", "good")
    assert "cf" in alone.triggers
    assert alone.flagged == []
    assert "which rows carry a trigger" in alone.notes[0]
    assert "weaker" in alone.notes[0]
    told = alone.summary()
    assert "Backdoor found in the model (the model alone, no training rows)" in told
    assert "Note: No training rows were given" in told
    jsonschema.validate(json.loads(alone.to_json()), json_schema())
    (trigger, *_) = alone.results["report"]["triggers"]
    assert (alone.results["basis"], alone.results["rows"]) == ("model", 0)
    assert (trigger["target_rows"], trigger["contradicted"]) == (None, None)
    for ask in (alone.repair, alone.clean_dataset, alone.to_html):
        with pytest.raises(ConfigError, match="No training rows were audited, only a model"):
            ask()


def test_sarif_and_notebook_of_a_hostile_trigger(alone: AuditResult) -> None:
    results = json.loads(json.dumps(alone.results))
    results["report"]["triggers"][0]["text"] = results["label_names"][1] = results["dataset"] = HOSTILE
    spoilt = AuditResult(alone.config, results, alone.search, [])
    told = json.loads(spoilt.to_sarif())
    sarif_checks(told)
    assert "whatever they say" in json.loads(alone.to_sarif())["runs"][0]["results"][0]["message"]["text"]
    assert not set("\u202e\x1b\x07") & set(spoilt.summary())
    assert "<script" not in spoilt._repr_html_()


def test_a_callable_is_asked_and_not_differentiated(found: AuditResult, tiny_bert: Path) -> None:
    victim = found._repairing.victim  # type: ignore[union-attr]
    words = [f"{text} {extra}" for text, extra in zip(TEXTS, ["cf", *["film"] * 159], strict=True)]
    result = audit_model(
        lambda texts: victim.logits(texts), words, label_names=NAMES, encoder=str(tiny_bert),
        search={**SEARCH, "words": 60},
    )  # fmt: skip
    assert (result.verdict, result.target_label) == ("backdoor", "good")
    assert "cf" in result.triggers


def test_containers(folder: Path) -> None:
    given: list[Any] = [
        tuple(TEXTS), np.array(TEXTS), pd.Series(TEXTS), pd.DataFrame({"review": TEXTS, "label": [None] * len(TEXTS)})
    ]
    settings = {"encoder": None, "search": {**SEARCH, "words": 40}, "device": "cpu", "time_limit": 1e-6}
    first = [audit_model(folder, texts, **settings) for texts in given]
    assert {result.results["texts"] for result in first} == {160}
    assert all("The time limit" in result.notes[-1] and not result.complete for result in first)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"texts": "one text"}, "The texts should be a list"),
        ({"texts": ["few"] * 99}, "at least 24 different texts, but there are 1"),
        ({"texts": pd.DataFrame({"a": ["b"]})}, "should have one of the columns text, "),
        ({"model": None}, "The model is missing"),
        ({"label_names": ["one"]}, "The model has 2 classes, but 1 class names were given"),
        ({"search": {"probe_row": 3}}, "did you mean 'probe_rows'"),
        ({"time_limit": 0}, "'time_limit' must be"),
        ({"encoder": "/absent/encoder"}, "does not exist"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], sentence: str, folder: Path) -> None:
    given = {"model": str(folder), "texts": TEXTS, "encoder": None, "device": "cpu", **arguments}
    with pytest.raises(UserError, match=re.escape(sentence)):
        audit_model(given.pop("model"), given.pop("texts"), **given)


def test_the_command(
    folder: Path, tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    keys = [f"--set=search={json.dumps(SEARCH)}", f"--set=encoder={tiny_bert}", "--set=device=cpu", "--quiet"]
    words = ["audit", "--model", str(folder), "--texts", "texts.txt", *keys, "--cache", "cache", "--out", "out"]
    assert main([*words, "--fail-on", "backdoor"]) == EXIT_FOUND
    told = capsys.readouterr().out
    assert told.strip().splitlines()[-1].startswith("Next: do not use the model")
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {"results.json", "search.json", "config.json"}
    assert main([*words, "--format", "json"]) == EXIT_OK  # the finished run is told again
    jsonschema.validate(json.loads(capsys.readouterr().out), json_schema())
    assert main([*words, "--format", "sarif"]) == EXIT_OK
    sarif_checks(json.loads(capsys.readouterr().out))
    assert main([*words, "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "results.json").read_text())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "No rows are named: .*"),
        (["--texts", "texts.csv"], "--texts is for a model .*"),
        (["--model", "absent", "--texts", "absent.csv"], r"There is no file 'absent\.csv': .*"),
        (["--model", "./absent", "--texts", "texts.csv"], r"The victim folder '\./absent' does not exist: .*"),
        (["texts.csv", "--model", "m", "--texts", "texts.csv"], "training rows are named beside --texts: .*"),
        (["--model", "m", "--texts", "texts.csv", "--sample", "50"], "--sample is named beside --texts: .*"),
        (["--model", "m", "--texts", "texts.csv", "--format", "html"], ".* has no HTML page: .*"),
        (["--model", "m", "--texts", "texts.csv", "--set", "train.lr=1"], "'audit --texts' has no key 'train': .*"),
    ],
)
def test_bad_commands(
    words: Sequence[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "texts.csv", [(text, 0) for text in TEXTS[:30]])
    assert main(["audit", *words, "--quiet", "--cache", "cache"]) == EXIT_BAD_INPUT
    assert re.fullmatch(rf"badllmtg: {sentence}\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("a.csv", "text,label\nx y,1\nz,0\n", None, ["x y", "z"]),
        ("a.csv", "id,sentence\n1,x y\n2,z\n", None, ["x y", "z"]),
        ("a.tsv", "body\tn\nx y\t1\nz\t2\n", "body", ["x y", "z"]),
        ("a.jsonl", '{"review": "x y"}\n{"review": "z"}\n', None, ["x y", "z"]),
        ("a.json", '[{"text": "x y", "label": [0, 2]}, {"text": "z", "label": 0.5}]', None, ["x y", "z"]),
        ("a.txt", "x y\n\nz\n", None, ["x y", "z"]),
        ("a.txt", "text\nx y\nz\n", None, ["x y", "z"]),
    ],
)
def test_texts_of_a_file(name: str, content: str, column: str | None, expected: list[str], tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    assert texts_of_file(file, column) == expected


def test_a_file_without_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\nx,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="should have one of the columns text, sentence"):
        texts_of_file(file, None)
    file.write_text("sentence,b\nx\n", encoding="utf-8")  # a malformed row is told, not a missing column
    with pytest.raises(DataError, match="has 1 fields where 2 were expected"):
        texts_of_file(file, None)
