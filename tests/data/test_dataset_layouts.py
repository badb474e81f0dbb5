"""OpenBackdoor's data sets by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.data.layouts import LAYOUTS, UNLABELLED
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
    assert splits == {
        split: [Row(f"{split} one", 0), Row(f"{split} two", 1)] for split in ("train", "dev", "test")
    }
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
        put(
            tmp_path,
            f"TextClassification/agnews/{split}.csv",
            '"1","","Some\\news "\n"4","Head","body, ""quoted"""\n',
        )
    splits = load_dataset(name="AGNews", data_root=tmp_path)
    assert splits["train"] == [Row("Some news", 0), Row('Head body, "quoted"', 3)]
    assert splits.info.label_names == ("World", "Sports", "Business", "Sci/Tech")
    assert splits.info.label_index == {"1": 0, "2": 1, "3": 2, "4": 3}


def test_agnews_label_outside_its_classes_shows_the_value_of_the_file(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path, f"TextClassification/agnews/{split}.csv", '"1","","a"\n"2","","b"\n"0","","c"\n')
    with pytest.raises(DataError, match=r"^Row 3 of .*train.csv has the label '0', .* '1', '2', '3', '4'"):
        load_dataset(name="agnews", data_root=tmp_path)


def test_agnews_row_of_the_wrong_width(tmp_path: Path) -> None:
    put(tmp_path, "TextClassification/agnews/train.csv", '"1","a"\n')
    with pytest.raises(DataError, match=r"^Row 1 of .* has 2 fields where 3 were expected"):
        load_dataset(name="agnews", data_root=tmp_path)


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


def test_line_set_with_too_few_labels(tmp_path: Path) -> None:
    put(tmp_path, "SentimentAnalysis/imdb/train.txt", "a\nb\n")
    put(tmp_path, "SentimentAnalysis/imdb/train_labels.txt", "0\n")
    with pytest.raises(DataError, match=r"as many lines as train_labels.txt, but has 2 against 1"):
        load_dataset(name="imdb", data_root=tmp_path)


def test_line_set_without_labels(tmp_path: Path) -> None:
    put(tmp_path, "SentimentAnalysis/imdb/train.txt", "a\nb\n")
    with pytest.raises(DataError, match=r"train_labels.txt was expected but is not there"):
        load_dataset(name="imdb", data_root=tmp_path)


def test_data_root_may_be_the_datasets_folder_itself(tmp_path: Path) -> None:
    put_tsv(tmp_path, "SentimentAnalysis/SST-2")
    assert len(load_dataset(data_root=tmp_path / "datasets")["train"]) == 2


def test_missing_set_names_the_paths_tried_and_the_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(name="hsol", data_root=tmp_path)
    for part in (
        "train.tsv, dev.tsv, test.tsv",
        str(tmp_path / "datasets/Toxic/hsol"),
        "download_toxic.sh",
        "data_root",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_file_of_a_named_set(tmp_path: Path, split: str) -> None:
    put_tsv(tmp_path, "SentimentAnalysis/SST-2")
    (tmp_path / f"datasets/SentimentAnalysis/SST-2/{split}.tsv").unlink()
    with pytest.raises(DataError, match=f"'sst-2' should have a {split} file, but has only "):
        load_dataset(data_root=tmp_path)


@pytest.mark.parametrize("name", UNLABELLED)
def test_plain_text_sets_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is plain text without classes"):
        load_dataset(name=name)


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'sst2' is unknown: did you mean 'sst-2'"):
        load_dataset(name="sst2")
    with pytest.raises(ConfigError, match=r"'qqqqqq' is unknown: the known ones are sst-2, imdb"):
        load_dataset(name="qqqqqq")


def test_number_of_classes_of_a_named_set_is_fixed(tmp_path: Path) -> None:
    put_tsv(tmp_path, "SentimentAnalysis/SST-2")
    with pytest.raises(ConfigError, match=r"'sst-2' has 2 classes, but num_classes or label_names say 3"):
        load_dataset(data_root=tmp_path, num_classes=3)
    assert load_dataset(data_root=tmp_path, label_names=["bad", "good"]).info.label_names == ("bad", "good")
