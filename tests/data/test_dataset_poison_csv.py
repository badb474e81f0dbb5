"""OpenBackdoor's CSV layout for clean and poisoned rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbackdoor_badllm.data.dataset import read_poison_csv, write_poison_csv
from openbackdoor_badllm.errors import DataError
from openbackdoor_badllm.rows import Row

ROWS = [
    Row("null", 1, 0), Row("", 0, 1), Row("NA", 0, 0), Row("3.50", 1, 1), Row('she said "no",\nthen\r\nleft\r', 0, 0),
    Row("=cmd()", 0, 0),
]  # fmt: skip


def test_texts_come_back_unaltered(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "train-poison.csv"
    write_poison_csv(path, ROWS)
    assert read_poison_csv(path) == ROWS
    assert [entry.name for entry in path.parent.iterdir()] == ["train-poison.csv"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=5))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [Row(text, 0, 1) for text in texts]
    write_poison_csv(path, rows)
    assert read_poison_csv(path) == rows


def test_pandas_reads_and_writes_the_same(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_poison_csv(tmp_path / "a.csv", ROWS)
    read = pandas.read_csv(tmp_path / "a.csv", keep_default_na=False, dtype=str)
    assert list(read.columns[1:]) == ["0", "1", "2"]
    assert read["0"].tolist() == [row.text for row in ROWS]
    pandas.DataFrame(ROWS[:4]).set_axis([0, 1, 2], axis=1).to_csv(tmp_path / "b.csv")
    assert read_poison_csv(tmp_path / "b.csv") == ROWS[:4]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("text,label\na,1\n", "should have OpenBackdoor's header ',0,1,2' .*, but has 'text,label'"),
        ("", "should have OpenBackdoor's header"),
        (",0,1,2\n0,a,1\n", "^Row 2 of .* has 3 fields where 4 were expected"),
        (",0,1,2\n0,a,x,0\n", "^Row 2 of .* should have a label 0, 1, 2, ..., but has 'x'"),
        (",0,1,2\n0,a,-1,0\n", "^Row 2 of .* should have a label 0, 1, 2, ..., but has '-1'"),
        (",0,1,2\n0,a,1,0\n1,b,1,2\n", "^Row 3 of .* should have the poison flag 0 or 1, but has '2'"),
        (',0,1,2\n0,"a,1,0\n', "^Row 2 of .* is not well-formed"),
    ],
)
def test_damage_is_told_in_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        read_poison_csv(path)
