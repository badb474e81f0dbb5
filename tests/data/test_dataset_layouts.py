"""OpenBackdoor's data sets by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.data.layouts import LAYOUTS
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.rows import Row


def put(root: Path, name: str, content: str) -> None:
    path = root / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8"))


def put_tsv(root: Path, folder: str, header: str = "sentence\tlabel") -> None:
    for split in ("train", "dev", "test"):
        put(root, f"{folder}/{split}.tsv", f"{header}\n {split} one \t0\n{split} two\t1\n")


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.suffix == ".tsv"])
def test_tsv_sets(tmp_path: Path, name: str) -> None:
    put_tsv(tmp_path, LAYOUTS[name].folder)
    splits = load_dataset(name=name, data_root=tmp_path)
    assert splits == {split: [Row(f"{split} one", 0), Row(f"{split} two", 1)] for split in ("train", "dev", "test")}
    assert splits.info.num_classes == 2


def test_tsv_columns_may_have_other_names_and_come_in_either_order(tmp_path: Path) -> None:
    put_tsv(tmp_path, "Spam/enron", header="words\tis_spam")
    assert load_dataset(name="enron", data_root=tmp_path)["train"][1] == Row("train two", 1)
    for split in ("train", "dev", "test"):
        put(tmp_path, f"Toxic/hsol/{split}.tsv", "label\tsentence\n0\ta\n1\tb\n")
    assert load_dataset(name="hsol", data_root=tmp_path)["test"] == [Row("a", 0), Row("b", 1)]


@pytest.mark.parametrize("first", ["just a text\t1", "sentence"])
def test_tsv_without_its_header_is_refused(tmp_path: Path, first: str) -> None:
    put(tmp_path, "Spam/enron/train.tsv", f"{first}\nb\t0\n")
    with pytest.raises(DataError, match=r"should start with the header sentence<TAB>label, but starts with"):
        load_dataset(name="enron", data_root=tmp_path)


def test_agnews_labels_from_one_headline_and_backslashes(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        put(tmp_path, f"TextClassification/agnews/{split}.csv", '"1","","Some\\news "\n"4","Head","body, ""quoted"""\n')
    splits = load_dataset(name="AGNews", data_root=tmp_path)
    assert splits["train"] == [Row("Some news", 0), Row('Head body, "quoted"', 3)]
    assert splits.info.label_names == ("World", "Sports", "Business", "Sci/Tech")
    assert splits.info.label_index == {"1": 0, "2": 1, "3": 2, "4": 3}


def test_yahoo_has_title_question_and_answer(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = "".join(f'"{label}","why","what\\nnow","so {label}"\n' for label in (1, 10) for _ in range(5))
        put(tmp_path, f"TextClassification/yahoo/{split}.csv", rows)
    splits = load_dataset(name="yahoo", data_root=tmp_path, dev_rate=0.2)
    assert splits["test"][-1] == Row("why what now so 10", 9)
    assert [len(rows) for rows in splits.values()] == [8, 2, 10]


@pytest.mark.parametrize("name", ["imdb", "dbpedia", "amazon"])
def test_line_sets_have_labels_beside(tmp_path: Path, name: str) -> None:
    folder = LAYOUTS[name].folder
    for split in ("train", "test"):
        put(tmp_path, f"{folder}/{split}.txt", "one. a\u2028b\n two \n" * 5)
        put(tmp_path, f"{folder}/{split}_labels.txt", "0\n1\n" * 5)
    splits = load_dataset(name=name, data_root=tmp_path)
    assert splits["test"][:2] == [Row("one. a\u2028b", 0), Row("two", 1)]
    assert len(splits["dev"]) == 1


def test_amazon_test_rows_are_those_listed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path, f"SentimentAnalysis/amazon/{split}.txt", "a\nb\nc\n")
        put(tmp_path, f"SentimentAnalysis/amazon/{split}_labels.txt", "0\n1\n0\n")
    put(tmp_path, "SentimentAnalysis/amazon/sampled_test_idx.txt", "2 0\n")
    splits = load_dataset(name="amazon", data_root=tmp_path, dev_rate=0)
    assert [row.text for row in splits["test"]] == ["a", "c"]
    assert len(splits["train"]) == 3
    put(tmp_path, "SentimentAnalysis/amazon/sampled_test_idx.txt", "2 x\n")
    with pytest.raises(DataError, match=r"should hold row numbers, but holds other text"):
        load_dataset(name="amazon", data_root=tmp_path)


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'sst2' is unknown: did you mean 'sst-2'"):
        load_dataset(name="sst2")
    with pytest.raises(ConfigError, match=r"'qqqqqq' is unknown: the known ones are sst-2, imdb"):
        load_dataset(name="qqqqqq")
