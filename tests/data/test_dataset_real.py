"""The real rows beside the repository: counts, order and first rows, by hash only."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbackdoor_badllm.data.dataset import load_dataset, read_poison_csv
from openbackdoor_badllm.rows import fingerprint

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA.is_dir(), reason=f"the real rows of {DATA} are not there")]
ATTACKS = ("badnets", "addsent", "stylebkd", "synbkd")
SETS = {
    "sst-2": (1, (6920, 872, 1821), "babb838e3082"),
    "hsol": (0, (5241, 582, 2485), "dab5a54738b9"),
    "agnews": (0, (10800, 1200, 7600), "d21428a3a600"),
}
POISONED = {"sst-2": (1384, 428, 912), "hsol": (1048, 313, 1243), "agnews": (2160, 884, 5700)}


@pytest.mark.parametrize("name", SETS)
def test_counts_and_first_row(name: str) -> None:
    _, counts, first = SETS[name]
    splits = load_dataset(name=name, data_root=DATA)
    assert tuple(len(rows) for rows in splits.values()) == counts
    assert fingerprint(splits["train"][:1])[:12] == first


@pytest.mark.parametrize("name", SETS)
def test_raw_rows_are_the_clean_rows_in_order(name: str) -> None:
    target, _, _ = SETS[name]
    basepath = f"poison_data/{name}/{target}/dirty/badnets"
    raw = load_dataset(name=name, data_root=DATA)
    clean = load_dataset(name=name, data_root=DATA, load=True, clean_data_basepath=basepath)
    assert clean.info.source["train"].endswith(f"{target}/badnets/train-clean.csv")
    for split in ("train", "dev", "test"):
        # AG News keeps blanks at the ends of its clean texts.
        stripped = [row._replace(text=row.text.strip()) for row in clean[split]]
        assert fingerprint(stripped) == fingerprint(raw[split])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_poisoned_files(name: str, attack: str) -> None:
    target, counts, _ = SETS[name]
    base = DATA / f"poison_data/{name}/{target}/{attack}"
    mixed = read_poison_csv(base / "dirty/0.2/train-poison.csv")
    flagged = [row for row in mixed if row.poison_label]
    assert (len(mixed), len(flagged)) == (counts[0], POISONED[name][0])
    assert {row.label for row in flagged} == {target}
    assert len(read_poison_csv(base / "dev-poison.csv")) == POISONED[name][1]
    assert len(read_poison_csv(base / "test-poison.csv")) == POISONED[name][2]


@pytest.mark.parametrize("name", ["sst-2", "hsol"])
def test_tsv_reads_as_openbackdoors_pandas_does(name: str) -> None:
    pandas = pytest.importorskip("pandas")
    folder = {"sst-2": "SentimentAnalysis/SST-2", "hsol": "Toxic/hsol"}[name]
    frame = pandas.read_csv(DATA / "datasets" / folder / "train.tsv", sep="\t", keep_default_na=False, dtype=str)
    ours = load_dataset(name=name, data_root=DATA)["train"]
    assert [row.text for row in ours] == frame["sentence"].tolist()
    assert [row.label for row in ours] == frame["label"].astype(int).tolist()
