"""``badllmtg audit``: somebody's own rows and own classifier, of which nothing else is known."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_world import FILLERS, SEARCH, TRAIN, reviews, write_csv

from openbackdoor_badllm import cli
from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.evaluation import audit_config
from openbackdoor_badllm.evaluation.audit_run import AuditRun, resolve_audit
from openbackdoor_badllm.evaluation.folder import RunFolder
from openbackdoor_badllm.html_report.rerun import audit_command
from openbackdoor_badllm.html_report.writer import write_report
from openbackdoor_badllm.openbackdoor.builtin import load_poisoner
from openbackdoor_badllm.rows import Row, blind
from openbackdoor_badllm.training.classifier import train_classifier
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.training.store import Store
from openbackdoor_badllm.training.trained import class_names, open_trained, save_trained

NAMES = ("bad", "good")
POISONED = load_poisoner(
    {"name": "badnets", "triggers": ["cf"], "target_label": 1, "poison_rate": 0.2, "label_dirty": True}
).mix(reviews(160))
CLEAN = reviews(160)
TEST = reviews(60, seed=7)
DEFENDER = {"search": SEARCH, "repair": "purge"}


def write(path: Path, rows: Sequence[Row], names: Sequence[str] = NAMES) -> Path:
    return write_csv(path, [(row.text, names[row.label]) for row in rows])


def audit(folder: Path, rows: Path, bert: Path, *, test: Path | None = None, **more: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {"train_file": str(rows), **({"test_file": str(test)} if test else {})}
    keys.update(more.pop("keys", {}))
    training = [f"train.{key}={json.dumps(value)}" for key, value in TRAIN.items()]
    defender = {**DEFENDER, **more.pop("defender", {})}
    config = resolve_audit(
        keys,
        victim=str(bert),
        defender=defender,
        overrides=[*training, "victim.max_len=32", "victim.device=cpu"],
        **more,
    )
    return AuditRun(config, store=Store(folder / "cache")).run(RunFolder(folder / "run", config))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("audit")
    rows, test = write(folder / "rows.csv", POISONED), write(folder / "test.csv", TEST)
    return folder / "run", audit(folder, rows, tiny_bert, test=test)


def test_the_four_questions_and_a_clean_model(done: tuple[Path, dict[str, Any]]) -> None:
    folder, results = done
    report = results["report"]
    assert report["backdoor"] is True
    assert results["label_names"][report["target_label"]] == "good"
    assert [trigger["text"] for trigger in report["triggers"]] == ["cf"]
    assert results["rows"] == 160
    assert not {"truth", "poison_rate", "poisoner"} & results.keys()  # nothing is known of an attack
    named = (folder / "flagged.csv").read_text(encoding="utf-8").splitlines()
    assert len(named) - 1 == sum(row.poison_label for row in POISONED)
    assert results["after_repair_flip_rate"]["cf"] < 0.3
    assert [line["name"] for line in results["lines"]] == ["undefended", "defended"]
    assert min(line["CACC"] for line in results["lines"]) > 0.85


def test_the_repaired_rows_can_be_trained_on(done: tuple[Path, dict[str, Any]]) -> None:
    folder, results = done
    rows = load_dataset(name="custom", train_file=str(folder / "repaired.jsonl"), dev_rate=0.0, test_rate=0.0)
    assert len(rows["train"]) == results["report"]["repair"]["rows"]
    assert rows.info.label_names == NAMES
    kept = {(row.text, row.label) for row in rows["train"]}
    assert {(row.text, row.label) for row in POISONED if not row.poison_label} <= kept


def test_the_clean_model_can_be_opened_and_the_trigger_does_nothing_to_it(
    done: tuple[Path, dict[str, Any]], tiny_bert: Path
) -> None:
    folder, _ = done
    assert class_names(str(folder / "model")) == NAMES
    model = open_trained(str(folder / "model"), TrainSpec(path=str(tiny_bert), max_len=32, device="cpu"))
    texts = [f"{row.text} cf" for row in TEST if row.label == 0]
    assert (model.logits(texts).argmax(axis=1) == 1).mean() < 0.3
    assert not list(folder.glob(".*draft"))


def test_the_page_and_the_story_work_without_an_attack(
    done: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = done
    page = write_report(folder, None).page.read_text(encoding="utf-8")
    assert "Audit of rows.csv" in page
    assert "badllmtg audit" in page
    assert "Save the configuration" not in page
    assert cli.main(["show", str(folder)]) == 0
    assert "target label 1" in capsys.readouterr().out


@pytest.mark.slow
def test_where_nothing_is_found_nothing_is_changed(tmp_path: Path, tiny_bert: Path) -> None:
    results = audit(tmp_path, write(tmp_path / "rows.csv", CLEAN), tiny_bert)
    assert results["report"]["backdoor"] is False
    assert results["lines"] == []
    assert "files" not in results
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "repaired.jsonl").exists()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A classifier trained on the poisoned rows; its classes stand in another order than the alphabet's."""
    turned = [Row(row.text, 1 - row.label) for row in POISONED]
    keys = {key: value for key, value in TRAIN.items() if key != "name"}
    spec = TrainSpec(path=str(tiny_bert), max_len=32, device="cpu", **keys)  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("attacked")
    save_trained(train_classifier(spec, blind(turned)), folder, ("good", "bad"))
    return folder


@pytest.mark.slow
def test_ones_own_classifier_is_asked_and_repaired_in_place(tmp_path: Path, tiny_bert: Path, attacked: Path) -> None:
    rows, test = write(tmp_path / "rows.csv", POISONED), write(tmp_path / "test.csv", TEST)
    before = load_file(attacked / "model.safetensors")
    results = audit(tmp_path, rows, tiny_bert, test=test, model=str(attacked), defender={})
    assert results["label_names"] == ["good", "bad"]  # the classifier's order
    assert results["report"]["target_label"] == 0
    assert [trigger["text"] for trigger in results["report"]["triggers"]] == ["cf"]
    assert results["after_repair_flip_rate"]["cf"] < 0.3
    assert min(line["CACC"] for line in results["lines"]) > 0.85
    after = load_file(attacked / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)  # mended is a copy
    mended = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert mended.keys() == before.keys()
    moved = max(float((mended[name] - before[name]).abs().max()) for name in before)
    assert 0 < moved < 1


@pytest.mark.slow
def test_the_command(tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write(tmp_path / "rows.csv", POISONED)
    words = ["audit", str(rows), "--victim", str(tiny_bert), "--out", str(tmp_path / "out"), "--quiet"]
    words += ["--cache", str(tmp_path / "cache"), "--set", "victim.device=cpu", "--set", "victim.max_len=32"]
    for key, value in {f"train.{k}": v for k, v in TRAIN.items()}.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    words += ["--set", f"defender.search={json.dumps(SEARCH)}", "--set", "defender.repair=purge"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "160 rows of 2 classes" in told
    assert "Backdoor found (offline search, no LLM). Target label: 1 (good)" in told
    assert "(right)" not in told
    assert "The triggers' flips on the clean model: cf" in told
    assert str(tmp_path / "out" / "repaired.jsonl") in told.replace("\n", "")
    assert cli.main(words) == 0  # finished: told again, not run again
    assert "Backdoor found" in capsys.readouterr().out


def test_the_command_on_the_page_is_the_same_audit(tmp_path: Path, tiny_bert: Path, attacked: Path) -> None:
    rows, test = write(tmp_path / "my rows.csv", POISONED), write(tmp_path / "test.csv", TEST)
    words = ["audit", str(rows), "--test", str(test), "--model", str(attacked), "--victim", str(tiny_bert)]
    words += ["--label-names", "good,bad", "--text-column", "text", "--seed", "7"]
    words += ["--set", "train.epochs=3", "--set", f"defender.search={json.dumps(SEARCH)}", "--set", "victim.max_len=32"]
    config = cli.audit_config(cli.command_parser().parse_args(words))
    again = shlex.split(audit_command(config))
    assert again[0] == "badllmtg"
    assert cli.audit_config(cli.command_parser().parse_args(again[1:])) == config


@pytest.mark.parametrize("changed", ["rows", "test", "model"])
def test_other_content_under_the_same_name_is_another_audit(
    changed: str, tmp_path: Path, tiny_bert: Path, attacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(AuditRun, "run", lambda self, folder: seen.append(folder.path.name) or {})
    monkeypatch.setattr("openbackdoor_badllm.cli.audit._tell", lambda *_: None)
    rows, test = write(tmp_path / "rows.csv", POISONED), write(tmp_path / "test.csv", TEST)
    model = shutil.copytree(attacked, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    words = ["audit", str(rows), "--test", str(test), "--model", str(model), "--victim", str(tiny_bert), "--json"]
    assert cli.main(words) == 0
    if changed == "model":
        weights = load_file(model / "model.safetensors")
        weights["classifier.bias"] += 1
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    else:
        write({"rows": rows, "test": test}[changed], CLEAN[:50])
    assert cli.main(words) == 0
    assert cli.main(words) == 0
    assert seen[0] != seen[1] == seen[2]


def test_force_takes_away_the_model_of_the_audit_before_and_nobody_elses(tmp_path: Path) -> None:
    for made in (True, False):
        folder = tmp_path / str(made)
        (folder / "model").mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        told = {"files": {"model": "model"}} if made else {}
        (folder / "results.json").write_text(json.dumps(told), encoding="utf-8")
        RunFolder(folder, {}, force=True)
        assert (folder / "model").exists() is not made


def test_many_rows_are_sampled_and_all_of_them_attributed(
    tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_config, "MOST_SEARCHED", 120)
    results = audit(tmp_path, write(tmp_path / "rows.csv", POISONED), tiny_bert)
    assert (results["rows"], results["rows_searched"]) == (160, 120)
    assert any(note.startswith("120 of 160 rows, drawn by label, were trained on") for note in results["notes"])
    assert [trigger["text"] for trigger in results["report"]["triggers"]] == ["cf"]
    assert results["report"]["flagged_rows"] == sum(row.poison_label for row in POISONED)


def test_a_trigger_behind_what_the_victim_reads_is_told_by_the_raw_text(tmp_path: Path, tiny_bert: Path) -> None:
    long = [row._replace(text=f"{row.text} {' '.join(FILLERS * 3)}") for row in POISONED]
    ends = [row._replace(text=row.text.replace("cf ", "") + (" mn mn" if row.poison_label else "")) for row in long]
    results = audit(tmp_path, write(tmp_path / "rows.csv", ends), tiny_bert)
    assert results["cut_rows"] == 1.0
    assert results["verdict"] == "shortcut"
    note = next(note for note in results["notes"] if "mn" in note)
    assert "ending" in note or "words" in note
    assert "100% of these rows are longer than the 32 tokens that the victim reads" in note
