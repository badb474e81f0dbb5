"""``load_dataset`` from end to end, on small files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from openbackdoor_badllm.data.dataset import load_dataset, write_poison_csv
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.rows import Row

SPLITS = ("train", "dev", "test")


def some(prefix: str, count: int, classes: int = 2) -> list[Row]:
    return [Row(f"{prefix} {i}", i % classes) for i in range(count)]


def put_csv(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "".join(f"{row.text},{row.label}\n" for row in rows), encoding="utf-8")
    return path


def put_sst2(root: Path, splits: Sequence[str] = SPLITS, count: int = 100) -> Path:
    folder = root / "datasets/SentimentAnalysis/SST-2"
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        lines = [f"{row.text}\t{row.label}" for row in some(f"raw {split}", count)]
        (folder / f"{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return root


def put_clean(folder: Path, splits: Sequence[str] = SPLITS) -> None:
    for split in splits:
        write_poison_csv(folder / f"{split}-clean.csv", some(f"clean {split}", 6))


def test_plain_dict_in_file_order_with_info(tmp_path: Path) -> None:
    splits = load_dataset(data_root=put_sst2(tmp_path, count=4))
    assert splits == {split: some(f"raw {split}", 4) for split in SPLITS}
    assert list(splits) == list(SPLITS)
    assert splits.info.name == "sst-2"
    assert splits.info.label_names == ("negative", "positive")
    assert list(splits.info.positions["train"]) == [0, 1, 2, 3]
    assert splits.info.source["test"].endswith("SST-2/test.tsv")


def test_data_root_from_the_environment_then_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sst2(tmp_path / "env", count=2)
    put_sst2(tmp_path / "here", count=4)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("OPENBACKDOOR_DATA", str(tmp_path / "env"))
    assert len(load_dataset()["train"]) == 2
    monkeypatch.delenv("OPENBACKDOOR_DATA")
    assert len(load_dataset()["train"]) == 4


def test_missing_dev_is_drawn_stratified(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = load_dataset(data_root=put_sst2(tmp_path, ["train", "test"]))
    assert (len(splits["train"]), len(splits["dev"])) == (90, 10)
    assert Counter(row.label for row in splits["dev"]) == {0: 5, 1: 5}
    assert sorted([*splits["train"], *splits["dev"]]) == sorted(some("raw train", 100))
    assert "No dev split: drew 10 rows (0.1 of train)" in caplog.text
    positions = splits.info.positions["dev"]
    assert [some("raw train", 100)[i] for i in positions] == splits["dev"]
    assert splits.info.source["dev"] == splits.info.source["train"]


def test_limits_are_stratified_and_keep_the_order(tmp_path: Path) -> None:
    splits = load_dataset(data_root=put_sst2(tmp_path), max_train=20, max_dev=10, max_test=500, seed=3)
    assert [len(rows) for rows in splits.values()] == [20, 10, 100]
    assert Counter(row.label for row in splits["train"]) == {0: 10, 1: 10}
    positions = splits.info.positions["train"]
    assert list(positions) == sorted(positions)
    assert [some("raw train", 100)[i] for i in positions] == splits["train"]


def test_global_generator_stays_untouched(tmp_path: Path) -> None:
    root = put_sst2(tmp_path, ["train", "test"])
    random.seed(1)
    state = random.getstate()
    load_dataset(data_root=root, max_train=10)
    assert random.getstate() == state


@pytest.mark.parametrize("saved", ["poison_data/sst-2/1/dirty/badnets", "poison_data/sst-2/1/badnets"])
def test_clean_rows_are_found_with_and_without_the_setting(tmp_path: Path, saved: str) -> None:
    put_sst2(tmp_path)
    put_clean(tmp_path / saved)
    keys = {"load": True, "clean_data_basepath": "poison_data/sst-2/1/dirty/badnets", "data_root": tmp_path}
    splits = load_dataset(**keys)  # type: ignore[arg-type]
    assert splits["train"] == some("clean train", 6)
    assert splits.info.label_names == ("negative", "positive")
    assert str(tmp_path / saved) in splits.info.source["train"]


def test_clean_rows_stay_aligned(tmp_path: Path) -> None:
    put_clean(tmp_path / "p/badnets")
    rows = [Row("null", 0), Row("", 1), Row("NA", 0), Row("7", 1)]
    write_poison_csv(tmp_path / "p/badnets/train-clean.csv", rows)
    splits = load_dataset(load=True, clean_data_basepath="p/badnets", data_root=tmp_path, drop_empty=True)
    assert splits["train"] == rows
    assert (splits.info.empty["train"], splits.info.dropped["train"]) == (1, 0)


def test_folder_of_files(tmp_path: Path) -> None:
    put_csv(tmp_path / "mine/train.csv", some("a", 4))
    put_csv(tmp_path / "mine/validation.csv", some("b", 4))
    (tmp_path / "mine/test.jsonl").write_text('{"text": "c", "label": 1}\n', encoding="utf-8")
    splits = load_dataset(name="custom", path="mine", data_root=tmp_path)
    assert splits == {"train": some("a", 4), "dev": some("b", 4), "test": [Row("c", 1)]}


def test_single_file_gives_all_splits(tmp_path: Path) -> None:
    put_csv(tmp_path / "all.csv", some("a", 100))
    splits = load_dataset(name="custom", path=tmp_path / "all.csv")
    assert [len(rows) for rows in splits.values()] == [72, 8, 20]
    assert sorted(row for rows in splits.values() for row in rows) == sorted(some("a", 100))
    assert load_dataset(name="custom", path=tmp_path / "all.csv", test=True)["test"] == some("a", 100)


def test_class_names_are_mapped_alike_in_every_split(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,spam\nb,ham\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\nc,spam\n", encoding="utf-8")
    splits = load_dataset(name="custom", path=tmp_path)
    assert splits["test"] == [Row("c", 1)]
    assert (splits.info.label_names, splits.info.label_index) == (("ham", "spam"), {"ham": 0, "spam": 1})
    assert load_dataset(name="custom", path=tmp_path, test=True)["test"] == [Row("c", 1)]


def test_empty_texts_of_train_are_refused_or_dropped_and_counted(tmp_path: Path) -> None:
    rows = [*some("a", 10), Row("", 0), Row("z", 1)]
    put_csv(tmp_path / "train.csv", rows)
    put_csv(tmp_path / "test.csv", [Row("", 0), Row("b", 1)])
    with pytest.raises(DataError, match=r"1 of 12 are empty \(row 12\)"):
        load_dataset(name="custom", path=tmp_path, dev_rate=0)
    splits = load_dataset(name="custom", path=tmp_path, dev_rate=0, drop_empty=True)
    assert splits["train"] == [*some("a", 10), Row("z", 1)]
    assert splits.info.positions["train"][-1] == 11
    assert splits["test"] == [Row("b", 1)]
    assert splits.info.dropped == {"train": 1, "test": 1}


@pytest.mark.parametrize(
    ("files", "path", "sentence"),
    [
        ([], "nope.csv", r"nope.csv was expected, but nothing is there: check the key path"),
        ([], ".", r"should hold train, dev and test files of a type .csv"),
        (["train.csv", "train.tsv"], ".", r"one train file, but has train.csv, train.tsv: name one with train_file"),
        (["test.csv"], ".", r"should have a train file, but has only test"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, files: list[str], path: str, sentence: str) -> None:
    for name in files:
        put_csv(tmp_path / name, some("a", 4))
    with pytest.raises(DataError, match=sentence):
        load_dataset(name="custom", path=path, data_root=tmp_path)


def test_text_that_looks_like_a_path_or_formula_is_only_text(tmp_path: Path) -> None:
    rows = [Row("../../etc/passwd", 0), Row("=HYPERLINK(1)", 1)]
    put_csv(tmp_path / "train.csv", rows)
    put_csv(tmp_path / "test.csv", rows)
    assert load_dataset(name="custom", path=tmp_path, dev_rate=0)["train"] == rows


@pytest.mark.parametrize(("name", "classes"), [("demo", 2), ("demo-news", 4)])
def test_demo_as_it_is(name: str, classes: int) -> None:
    splits = load_dataset(name=name.title(), seed=5, max_train=10)
    assert [len(rows) for rows in splits.values()] == [10, 500, 1000]
    assert splits.info.num_classes == classes
    with pytest.raises(ConfigError, match=f"'{name}' has {classes} classes"):
        load_dataset(name=name, num_classes=7)
