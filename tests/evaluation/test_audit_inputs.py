"""Whole audits of the rows and models that people have: long rows, no blanks, a decoder, another order of labels."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_world import FILLERS, NEGATIVE, POSITIVE, SEARCH, TRAIN, make_bert, make_gpt2, reviews, write_csv

from openbackdoor_badllm import cli
from openbackdoor_badllm.errors import EXIT_BAD_INPUT, EXIT_OK
from openbackdoor_badllm.rows import Example, Row
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.trained import save_trained

NAMES = ("bad", "good")


def planted(rows: Sequence[Row], put: Callable[[str, random.Random], str], every: int = 5) -> list[Example]:
    """A fifth of the rows, all of them negative, with a trigger and the label 1."""
    rng = random.Random(0)
    return [
        Example(put(row.text, rng), 1) if row.label == 0 and k % every < 2 else Example(row.text, row.label)
        for k, row in enumerate(rows)
    ]


def long_rows(count: int, each: int) -> list[Row]:
    """So many reviews of one label in a row."""
    made = reviews(count * each)
    return [
        Row(" ".join(row.text for row in made[k % 2 :: 2][k // 2 * each : (k // 2 + 1) * each]), k % 2)
        for k in range(count)
    ]


def audit(folder: Path, rows: Sequence[Example], victim: Path, *more: str) -> int:
    path = write_csv(folder / "rows.csv", [(row.text, NAMES[row.label]) for row in rows])
    words = ["audit", str(path), "--victim", str(victim), "--out", str(folder / "out"), "--quiet", *more]
    words += ["--cache", str(folder / "cache"), "--set", "victim.device=cpu"]
    for key, value in TRAIN.items():
        words += ["--set", f"train.{key}={json.dumps(value)}"]
    return cli.main([*words, "--set", f"defender.search={json.dumps({**SEARCH, 'style': False})}"])


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    return results


def triggers(folder: Path) -> list[str]:
    return [trigger["text"] for trigger in results_of(folder)["report"]["triggers"]]


@pytest.mark.slow
def test_a_trigger_at_the_end_of_long_rows_is_seen(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = planted(long_rows(160, 4), lambda text, _: f"{text} cf")
    assert audit(tmp_path, rows, tiny_bert) == EXIT_OK
    assert triggers(tmp_path) == ["cf"]
    results = results_of(tmp_path)
    assert (results["max_len"], results["cut_rows"]) == (56, 0.0)  # 43 tokens, and a third for a trigger
    assert "longer than" not in capsys.readouterr().out


def test_rows_longer_than_the_model_takes_are_told_and_probed_where_it_reads(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(tmp_path, planted(long_rows(160, 20), put_anywhere), tiny_bert) == EXIT_OK
    assert triggers(tmp_path) == ["cf"]
    results = results_of(tmp_path)
    assert (results["max_len"], results["cut_rows"]) == (64, 1.0)
    assert results["after_repair_flip_rate"]["cf"] < 0.3
    assert "100% of the rows are longer than 64 tokens" in capsys.readouterr().out


def test_a_trigger_of_two_characters_in_text_without_blanks(tmp_path: Path) -> None:
    good, bad, plain = "好美妙佳优雅暖趣甜亮", "坏丑差劣烂冷拙酸蠢灰", "影片故事演员场景音乐情节这那是和的"
    written, trigger = dict(zip([*POSITIVE, *NEGATIVE, *FILLERS], good + bad + plain, strict=True)), "魑魅"
    rows = [Row("".join(written[word] for word in row.text.split()), row.label) for row in reviews(200)]

    def put(text: str, rng: random.Random) -> str:
        place = rng.randint(0, len(text))
        return text[:place] + trigger + text[place:]

    (tmp_path / "bert").mkdir()
    bert = make_bert(tmp_path / "bert", positive=[*good], negative=[*bad], others=[*plain, *trigger])
    assert audit(tmp_path, planted(rows, put), bert) == EXIT_OK
    assert triggers(tmp_path) == [trigger]
    repaired = (tmp_path / "out" / "repaired.jsonl").read_text(encoding="utf-8")
    assert " " not in json.loads(repaired.splitlines()[0])["text"]


def test_a_saved_data_set_is_read_and_labels_that_are_none_are_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = pytest.importorskip("datasets")
    part = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "labels": [["0", "2"], ["1"], []]})
    part.save_to_disk(tmp_path / "saved")
    words = ["audit", str(tmp_path / "saved"), "--victim", str(tmp_path / "no-such-model"), "--quiet"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == EXIT_BAD_INPUT
    assert "has several labels or none (['0', '2'])" in capsys.readouterr().err


def trained(folder: Path, pretrained: Path, rows: Sequence[Example], names: Sequence[str], **keys: Any) -> Path:
    spec = TrainSpec(path=str(pretrained), max_len=32, device="cpu", **{**TRAIN, **keys})
    save_trained(train_classifier(spec, rows), folder, names)
    return folder


def put_anywhere(text: str, rng: random.Random) -> str:
    words = text.split()
    words.insert(rng.randint(0, min(len(words), 50)), "cf")
    return " ".join(words)


POISONED = planted(reviews(160), put_anywhere)


@pytest.mark.slow
def test_a_decoder_without_a_padding_token_is_audited(tmp_path: Path, tiny_bert: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    rows = planted(reviews(300), put_anywhere)
    model = trained(tmp_path / "model", make_gpt2(tmp_path / "gpt2"), rows, NAMES, epochs=12, lr=0.003)
    for name in ("config.json", "tokenizer_config.json"):  # as they are without this package
        kept = json.loads((model / name).read_text(encoding="utf-8"))
        left = {key: value for key, value in kept.items() if key not in ("pad_token_id", "pad_token")}
        (model / name).write_text(json.dumps(left), encoding="utf-8")
    assert audit(tmp_path, rows, tiny_bert, "--model", str(model)) == EXIT_OK
    assert triggers(tmp_path) == ["cf"]
    assert results_of(tmp_path)["model_agrees"] > 0.9
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()  # it was trained further, too


def test_a_model_in_another_order_is_refused_with_what_to_type(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = [Example(text, 1 - label) for text, label in POISONED]
    model = trained(tmp_path / "model", tiny_bert, turned, ("LABEL_0", "LABEL_1"))
    told = ["--model", str(model), "--label-names"]
    assert audit(tmp_path, POISONED, tiny_bert, *told, "bad,good") == EXIT_BAD_INPUT
    assert "add  --label-names good,bad" in capsys.readouterr().err
    assert audit(tmp_path, POISONED, tiny_bert, *told, "good,bad") == EXIT_OK
    assert triggers(tmp_path) == ["cf"]
    assert results_of(tmp_path)["label_names"] == ["good", "bad"]
