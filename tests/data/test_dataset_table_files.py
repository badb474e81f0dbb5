"""Reading files: every cell stays its text, and each kind of damage has its sentence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.data.structured import read_table, saved_splits
from openbackdoor_badllm.data.table_files import split_csv, split_tsv
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.evaluation.audit_rows import Place, load_rows
from openbackdoor_badllm.rows import Row


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def pairs(path: Path, **columns: str) -> list[tuple[str, object]]:
    return [(record.text, record.label) for record in read_table(path, **columns).records]


@pytest.mark.parametrize("text", ["nan", "NA", "null", "None", "3.5", "3.50", "007", "", "1e5", "=SUM(A1)", "True"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_cells_stay_as_they_are_written(tmp_path: Path, text: str, suffix: str) -> None:
    mark = "," if suffix == ".csv" else "\t"
    path = write(tmp_path / f"a{suffix}", f"text{mark}label\n{text}{mark}1\n")
    assert pairs(path) == [(text, "1")]


def test_bom_crlf_embedded_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b'\xef\xbb\xbftext,label\r\n"a ""b"", c\r\nd",1\r\n\r\nplain,0\r\n')
    assert pairs(path) == [('a "b", c\r\nd', "1"), ("plain", "0")]
    assert [record.number for record in read_table(path).records] == [2, 4]


@pytest.mark.parametrize("text", ["caf\u00e9 \u4e00\u4e2d", "plain"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding(tmp_path: Path, encoding: str, text: str) -> None:
    assert pairs(write(tmp_path / "a.txt", f"text\tlabel\n{text}\t1\n".encode(encoding))) == [(text, "1")]


@pytest.mark.parametrize(
    "content", ["sep=;\r\ntext;label\r\na,b;1\r\n", '"sep=;"\ntext;label\na,b;1', "SEP=\t\ntext\tlabel\na,b\t1"]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_first_line_of_a_spreadsheet_says_the_delimiter(tmp_path: Path, content: str, suffix: str) -> None:
    table = read_table(write(tmp_path / f"a{suffix}", content))
    assert [(record.number, record.text, record.label) for record in table.records] == [(2, "a,b", "1")]


FRAME = {"text": ["a 3.50", "b"], "label": ["0", "1"]}


@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table", "list"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_a_data_frame(tmp_path: Path, orient: str, indent: int | None) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({**FRAME, "more": [[1], {"a": 2}]}, index=["x", "y"])
    whole = json.dumps(frame.to_dict("list"), indent=indent) if orient == "list" else frame.to_json(
        orient=orient, indent=indent
    )
    assert pairs(write(tmp_path / "a.json", whole)) == list(zip(FRAME["text"], FRAME["label"], strict=True))


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    part = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 1]}, features=features)
    part.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": part, "validation": part.select([0, 1])}).save_to_disk(tmp_path / "all")
    assert saved_splits(tmp_path / "all") == ["train", "dev"]
    assert read_table(tmp_path / "one").names == ("no", "yes")
    for keys in ({"path": "all"}, {"train_file": "one", "dev_file": "all"}):
        splits = load_dataset(name="custom", data_root=tmp_path, test_rate=0.0, **keys)
        assert splits.info.label_names == ("no", "yes")
        assert splits["dev"] == [Row("a", 0), Row("b", 1)]
    other = load_dataset(
        name="custom", data_root=tmp_path, train_file="one", label_names=["yes", "no"], dev_rate=0.0, test_rate=0.0
    )
    assert [row.label for row in other["train"]] == [1, 0, 0]
    (tmp_path / "c.csv").write_text("text,label\nx,yes\ny,0\n", encoding="utf-8")
    both = load_dataset(name="custom", data_root=tmp_path, train_file="one", test_file="c.csv", dev_rate=0.0)
    assert both["test"] == [Row("x", 1), Row("y", 0)]
    with pytest.raises(DataError, match="should have a test split, but has train, validation"):
        read_table(tmp_path / "all", split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a folder, but a file of rows or a data set saved by save_to_disk"):
        read_table(tmp_path / "empty")
    for file in (tmp_path / "one").glob("*.arrow"):
        file.write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"^The saved data set .* cannot be read"):
        read_table(tmp_path / "one")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_csv_with_another_delimiter(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "a.csv", f'text{mark}label\n"a{mark} b, c"{mark}1\n')
    assert pairs(path) == [(f"a{mark} b, c", "1")]


def test_cells_longer_than_the_csv_limit(tmp_path: Path) -> None:
    before = csv.field_size_limit(1000)
    path = write(tmp_path / "a.csv", f"text,label\n{'x' * 200_000},1\n")
    try:
        assert len(pairs(path)[0][0]) == 200_000
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('s\tl\n"""hi"" she said"\t1\nb\t0\n', '"hi" she said'),  # quoted, as pandas writes
        ('s\tl\n"hi" she said\t1\nb\t0\n', '"hi" she said'),  # bare: text after the closing mark
        ('s\tl\n"hi\t1\nb\t0\n', '"hi'),  # bare: never closed
        ('s\tl\n"hi\t1\nb"\t0\nc\t1\n', '"hi'),  # bare: two rows would melt into one
        ('s\tl\n"a\tb"\t1\nc\t0\n', "a\tb"),  # quoted, with a tab inside
        ('s\tl\n"a\nb"\t1\nc\t0\n', "a\nb"),  # quoted, with a line break inside
    ],
)
def test_tsv_with_either_meaning_of_quotation_marks(content: str, text: str) -> None:
    assert split_tsv(content, "x.tsv")[1].fields == [text, split_tsv(content, "x.tsv")[1].fields[-1]]
    assert split_tsv(content, "x.tsv")[1].fields[-1] == "1"


def test_jsonl_keeps_digits_and_line_separators(tmp_path: Path) -> None:
    lines = [
        '{"text": "a\\nb\u2028c", "label": 1}', '{"text": 3.50, "label": "1.0"}', '{"text": null, "label": true}', "",
        '{"text": NaN, "label": 0, "more": [1]}',
    ]  # fmt: skip
    path = write(tmp_path / "a.jsonl", "\n".join(lines) + "\r\n")
    assert pairs(path) == [("a\nb\u2028c", "1"), ("3.50", "1.0"), ("", True), ("NaN", "0")]
    assert [record.number for record in read_table(path).records] == [1, 2, 3, 5]


def test_lone_surrogate_becomes_the_replacement_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a\\ud800b \\ud83d\\ude00", "label": 0}\n')
    assert pairs(path) == [("a\ufffdb \U0001f600", "0")]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["nan", None, "a"], "label": [1.0, 0.0, float("nan")], "n": [3.5, 2.0, 1.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert [text for text, _ in pairs(tmp_path / "a.parquet")] == ["nan", "", "a"]
    assert pairs(tmp_path / "a.parquet", text_column="n")[0] == ("3.5", 1.0)


SENTENCES = [
    ("a.csv", "text,label\n" + 'a "b" c,1\n"never closed,1\n', "^Row 3 of .*a.csv is not well-formed"),
    ("a.csv", 'text,label\n"a" b,1\n', "^Row 2 of .* close its quotation marks"),
    ("a.csv", "text,label\na,1\na,b,1\n", "^Row 3 of .* has 3 fields where 2 were expected"),
    ("a.tsv", "text\tlabel\na\t1\tx\n", "^Row 2 of .* has 3 fields where 2 were expected"),
    ("a.tsv", 'text\tlabel\n"a\tb"\t1\nc\t1\tx\n', r"^Row 3 of .* has 3 fields where 2 were expected"),
    ("a.tsv", "text\tlabel\nalone\n", "^Row 2 of .* has 1 fields where 2 were expected"),
    ("a.csv", "", "should start with a header, but is empty"),
    ("a.csv", "body,label\na,1\n", "one of the columns text, sentence, .* but has 'body', 'label': .* text_column"),
    ("a.csv", "text,stars\na,1\n", "but has 'text', 'stars': name the right one with the key label_column"),
    ("a.csv", "text,text,label\na,b,1\n", "^The column 'text' stands 2 times"),
    ("a.csv", b"text,label\nfine,1\ncaf\xe9,1\n", "should be UTF-8 text, but line 3 holds the byte 0xe9"),
    ("a.csv", b"\xff\xfea\x00\x00\xd8b\x00", "begins as UTF-16 and is not .*: save it as UTF-8"),
    ("a.jsonl", '{"text": "a", "label": 0}\n{"text": "b"\n', "^Row 2 of .* should be JSON, but cannot be parsed"),
    ("a.jsonl", '{"text": "a", "label": 0}\n{"text": "b"}\n', "^Row 2 of .* should have the key 'label'"),
    ("a.jsonl", '{"text": "a", "label": 0}\n7\n', "^Row 2 of .* should be a JSON object, but is a str"),
    ("a.jsonl", '{"text": ["a"], "label": 0}\n', "^Row 1 of .* should hold a text, but holds a list"),
    ("a.jsonl", '{"body": "a", "label": 0}\n', "but has 'body', 'label'"),
    ("a.jsonl", "\n", "should hold JSON objects, one a line, but is empty"),
    ("a.json", "[" * 100_000, "a.json should be JSON, but cannot be parsed"),
    ("a.json", "[1]", "^Row 1 of .* should be a JSON object"),
    ("a.parquet", "text,label\n", "should be Parquet, but cannot be read"),
    ("a.xlsx", "x", "has the type '.xlsx', but one of .csv, .tsv, .txt, .jsonl"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), SENTENCES)
def test_damage_is_told_in_a_sentence(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=sentence) as caught:
        read_table(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


@given(st.lists(st.sampled_from([*"a\",\n\r\u2028\x0b\x85", "\r\n"]), max_size=12).map("".join))
def test_a_csv_is_parted_as_the_csv_module_parts_a_file(content: str) -> None:
    try:
        expected = [fields for fields in csv.reader(io.StringIO(content, newline=""), strict=True) if fields]
    except csv.Error:
        with pytest.raises(DataError, match="is not well-formed"):
            split_csv(content, "here")
        return
    assert [line.fields for line in split_csv(content, "here")] == expected


def test_a_large_file_keeps_each_label_once_and_a_row_knows_its_place(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "text,label\na,good\n\"b\nc\",bad\nd,good\n")
    second = write(tmp_path / "b.jsonl", '{"text": "e", "label": "bad"}\n{"text": "f", "label": "good"}\n')
    assert len({id(record.label) for record in read_table(first).records}) == 2
    keys = {"name": "custom", "dev_rate": 0.0, "test_rate": 0.0, "train_file": str(first)}
    places = load_rows(keys, more_files=[str(second)]).places
    assert list(places) == [
        Place(0, str(first), 2), Place(1, str(first), 3), Place(2, str(first), 4), Place(3, str(second), 1),
        Place(4, str(second), 2),
    ]  # fmt: skip
    assert places[-2:] == [places[3], places[4]]
