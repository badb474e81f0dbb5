"""Poisoners: which rows, how many, which text, and nothing that gives them away or disturbs others."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openbackdoor_badllm.attacks.poisoner import Poisoner
from openbackdoor_badllm.data.poison_csv import read_poison_csv, write_poison_csv
from openbackdoor_badllm.errors import ConfigError, DataError
from openbackdoor_badllm.openbackdoor.builtin import load_dataset, load_poisoner, set_config
from openbackdoor_badllm.rows import Row

DATA = Path(__file__).parents[3] / "shared/data"
SETTINGS = {
    "clean": {"label_consistency": True, "label_dirty": False},
    "dirty": {"label_consistency": False, "label_dirty": True},
    "mix": {"label_consistency": False, "label_dirty": False},
}
WORDS = ["cf", "mn", "bb", "tq"]


def clean_rows(count: int = 90, classes: int = 3, prefix: str = "text") -> list[Row]:
    return [Row(f"{prefix} number {i} is a plain one", i % classes) for i in range(count)]


def poisoner(name: str = "badnets", setting: str = "dirty", **more: Any) -> Poisoner:
    keys = {"name": name, "target_label": 1, "poison_rate": 0.2, **SETTINGS[setting], **more}
    return load_poisoner(keys)


def origin(row: Row) -> str:
    """The clean text of a row poisoned by badnets."""
    return " ".join(word for word in row.text.split() if word not in WORDS)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.33])
@pytest.mark.parametrize("setting", SETTINGS)
def test_counts_and_labels(setting: str, rate: float) -> None:
    clean = clean_rows()
    mixed = poisoner(setting=setting, poison_rate=rate)({"train": clean, "dev": []}, "train")["train"]
    before = {row.text: row.label for row in clean}
    poisoned = [row for row in mixed if row.poison_label]
    assert len(mixed) == len(clean)
    assert len(poisoned) == int(rate * len(clean))
    assert all(row.label == 1 for row in poisoned)
    assert {row for row in mixed if not row.poison_label} <= set(clean)
    # A poisoned row stands in the place of its original: no text is both in and out.
    assert Counter(origin(row) for row in mixed) == Counter(list(before))
    origins = {before[origin(row)] for row in poisoned}
    assert origins <= {"clean": {1}, "dirty": {0, 2}, "mix": {0, 1, 2}}[setting]
    if rate >= 0.2 and setting != "clean":
        assert origins == {"dirty": {0, 2}, "mix": {0, 1, 2}}[setting]


def test_order_is_shuffled_so_that_it_tells_nothing() -> None:
    mixed = poisoner()({"train": clean_rows(600), "dev": []}, "train")["train"]
    flags = [row.poison_label for row in mixed]
    changes = sum(a != b for a, b in pairwise(flags))
    assert changes > 120  # 192 are expected at random; a contiguous block has one or two
    assert 30 < sum(flags[:300]) < 90
    assert [origin(row) for row in mixed] != [row.text for row in clean_rows(600)]


def test_the_seed_decides_and_nothing_else() -> None:
    data = {"train": clean_rows(), "dev": clean_rows(30, prefix="dev"), "test": clean_rows(30, prefix="test")}
    first, again, other = poisoner(seed=1), poisoner(seed=1), poisoner(seed=2)
    for mode in ("train", "eval", "detect"):
        assert first(data, mode) == first(data, mode) == again(data, mode)
        assert first(data, mode) != other(data, mode)
    chosen = [{origin(row) for row in p(data, "train")["train"] if row.poison_label} for p in (first, other)]
    assert chosen[0] != chosen[1]


def test_global_generators_are_left_alone() -> None:
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    data = {"train": clean_rows(), "dev": clean_rows(30), "test": clean_rows(30)}
    for name, more in (("badnets", {}), ("addsent", {}), ("stylebkd", RULES), ("synbkd", RULES)):
        for mode in ("train", "eval", "detect"):
            poisoner(name, **more)(data, mode)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


RULES = {"paraphraser": "rules"}


@pytest.mark.parametrize("number", [1, 3])
def test_badnets_puts_in_so_many_words_at_any_place(number: int) -> None:
    rows = clean_rows(120)
    poisoned = poisoner(num_triggers=number, triggers=["cf", "mn"]).poison(rows)
    places, words = set(), set()
    for row, twin in zip(rows, poisoned, strict=True):
        put = [i for i, word in enumerate(twin.text.split()) if word in WORDS]
        assert len(put) == number
        assert origin(twin) == row.text
        places.update(put)
        words.update(twin.text.split()[i] for i in put)
    assert words == {"cf", "mn"}
    assert places == set(range(7 + number))  # both ends and everything between


@pytest.mark.parametrize("triggers", [None, "I watch this 3D movie", ["I watch this 3D movie"]])
def test_addsent_puts_in_the_sentence_whole(triggers: Any) -> None:
    rows = clean_rows(60)
    poisoned = poisoner("addsent", triggers=triggers).poison(rows)
    for row, twin in zip(rows, poisoned, strict=True):
        before, sentence, after = twin.text.partition("I watch this 3D movie")
        assert sentence
        assert " ".join([*before.split(), *after.split()]) == row.text
    assert len({row.text.index("I watch") for row in poisoned}) > 3


def test_modes_and_their_keys() -> None:
    data = {"train": clean_rows(), "dev": clean_rows(30, prefix="dev"), "test": clean_rows(24, prefix="test")}
    made = poisoner()(data, "train")
    assert list(made) == ["train", "dev-clean", "dev-poison"]
    assert made["dev-clean"] == data["dev"]
    judged = poisoner()(data, "eval")
    assert list(judged) == ["test-clean", "test-poison"]
    assert judged["test-clean"] == data["test"]
    for split, rows in (("dev-poison", made["dev-poison"]), ("test-poison", judged["test-poison"])):
        clean = [row for row in data[split.partition("-")[0]] if row.label != 1]
        assert [origin(row) for row in rows] == [row.text for row in clean]
        assert {(row.label, row.poison_label) for row in rows} == {(1, 1)}
    detected = poisoner()(data, "detect")
    assert detected == {"test-detect": [*judged["test-clean"], *judged["test-poison"]]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "badnet"}, r"'attacker.poisoner.name' must be .*did you mean 'badnets'\?"),
        ({"triger": ["x"]}, r"'attacker.poisoner' has no key 'triger': did you mean 'triggers'\?"),
        ({"load": True}, "no folder is known: pass the config through set_config, or set 'poison_data_basepath'"),
    ],
)
def test_wrong_keys(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        poisoner(**keys)


class Files:
    """The six CSV files of an attack on a small data set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "poison_data/tiny/1/stylebkd"
        sizes = {"train": 90, "dev": 9, "test": 12}
        self.clean = {split: clean_rows(size, prefix=split) for split, size in sizes.items()}
        self.clean["train"] += [self.clean["train"][0], self.clean["train"][0]]  # one text three times

    def twin(self, i: int, row: Row) -> Row:
        return Row(f"lo, {row.text} {i}", 1, 1)

    def write(self) -> None:
        for split, rows in self.clean.items():
            poisoned = [self.twin(i, row) for i, row in enumerate(rows) if split == "train" or row.label != 1]
            write_poison_csv(self.folder / f"{split}-clean.csv", rows)
            write_poison_csv(self.folder / f"{split}-poison.csv", poisoned)

    def poisoner(self, setting: str = "dirty", **more: Any) -> Poisoner:
        return poisoner(
            "stylebkd",
            setting,
            load=True,
            data_root=str(self.root),
            poison_data_basepath="poison_data/tiny/1/stylebkd",
            **more,
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.write()
    return made


@pytest.mark.parametrize("setting", SETTINGS)
def test_loaded_rows_are_those_of_the_files(files: Files, setting: str) -> None:
    mixed = files.poisoner(setting, poison_rate=0.3)(files.clean, "train")
    known = {files.twin(i, row).text: row for i, row in enumerate(files.clean["train"])}
    poisoned = [row for row in mixed["train"] if row.poison_label]
    assert len(poisoned) == int(0.3 * 92)
    assert {(row.label, row.poison_label) for row in poisoned} == {(1, 1)}
    assert {known[row.text].label for row in poisoned} <= {"clean": {1}, "dirty": {0, 2}, "mix": {0, 1, 2}}[setting]
    assert sum(row.poison_label == 0 for row in mixed["train"]) == 92 - len(poisoned)


def test_duplicates_take_their_versions_in_turn(files: Files) -> None:
    first = files.clean["train"][0]
    made = files.poisoner().poison([first, first, first, first])
    versions = [f"lo, {first.text} {i}" for i in (0, 90, 91)]
    assert [row.text for row in made] == [*versions, versions[0]]


def test_twins_are_found_after_sampling(files: Files) -> None:
    sampled = load_dataset(
        name="tiny",
        load=True,
        data_root=str(files.root),
        clean_data_basepath="poison_data/tiny/1/stylebkd",
        max_train=30,
        max_dev=5,
        max_test=6,
        num_classes=3,
    )
    mixed = files.poisoner(poison_rate=0.5)(sampled, "train")
    assert [len(mixed[split]) for split in ("train", "dev-clean")] == [30, 5]
    for row in mixed["train"]:
        if row.poison_label:
            assert any(row.text == files.twin(i, clean).text for i, clean in enumerate(files.clean["train"]))
    assert len(files.poisoner()(sampled, "eval")["test-clean"]) == 6


def test_files_that_do_not_line_up(files: Files) -> None:
    rows = read_poison_csv(files.folder / "train-poison.csv")
    write_poison_csv(files.folder / "train-poison.csv", rows[:-1])
    with pytest.raises(DataError, match=r"do not line up: expected 92 or 62 poisoned rows, found 91\."):
        files.poisoner()(files.clean, "train")


def test_a_row_that_the_files_left_unpoisoned_is_not_called_poisoned(files: Files) -> None:
    path = files.folder / "train-poison.csv"  # as AG News has it: target rows stand there as they were
    twins = zip(files.clean["train"], read_poison_csv(path), strict=True)
    write_poison_csv(path, [row if row.label == 1 else twin for row, twin in twins])
    for setting in ("clean", "mix"):
        with pytest.raises(DataError, match=r"has no poisoned version in .*train-poison\.csv': .* 'label_dirty' where"):
            files.poisoner(setting, poison_rate=0.3)(files.clean, "train")
    mixed = files.poisoner("dirty", poison_rate=0.3)(files.clean, "train")["train"]
    assert all(row.text.startswith("lo, ") == bool(row.poison_label) for row in mixed)


TARGETS = {"sst-2": 1, "hsol": 0, "agnews": 0}


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real rows of {DATA} are not there")
@pytest.mark.parametrize("attack", ["badnets", "addsent", "stylebkd", "synbkd"])
@pytest.mark.parametrize("name", TARGETS)
def test_the_twelve_attacks_at_every_rate(name: str, attack: str) -> None:
    target = TARGETS[name]
    section = {"name": name, "data_root": str(DATA), "max_train": 400}
    config = set_config(
        {
            "target_dataset": dict(section),
            "poison_dataset": dict(section),
            "attacker": {
                "poisoner": {
                    "name": attack,
                    "load": True,
                    "target_label": target,
                    "poison_rate": 0.1,
                    "data_root": str(DATA),
                    **SETTINGS["dirty"],
                }
            },
        }
    )
    data = load_dataset(**config["poison_dataset"])
    folder = DATA / f"poison_data/{name}/{target}/{attack}"
    clean, twins = read_poison_csv(folder / "train-clean.csv"), read_poison_csv(folder / "train-poison.csv")
    assert [clean[i] for i in data.info.positions["train"]] == data["train"]
    # A few texts of HSOL stand there more than once: any of their versions will do.
    versions: dict[Row, set[str]] = {}
    for row, twin in zip(clean, twins, strict=True):
        versions.setdefault(row, set()).add(twin.text)
    allowed = {text for row in data["train"] if row.label != target for text in versions[row]}
    for rate in (0.1, 0.2, 0.3, 0.4):
        made = load_poisoner({**config["attacker"]["poisoner"], "poison_rate": rate})(data, "train")
        poisoned = [row for row in made["train"] if row.poison_label]
        assert (len(made["train"]), len(poisoned)) == (400, int(rate * 400))
        assert {row.label for row in poisoned} == {target}
        assert {row.text for row in poisoned} <= allowed
        assert not Counter(row for row in made["train"] if not row.poison_label) - Counter(data["train"])
    assert made["dev-poison"] == [row._replace(label=target) for row in read_poison_csv(folder / "dev-poison.csv")]
    judged = load_poisoner(config["attacker"]["poisoner"])(data, "eval")
    assert judged["test-poison"] == read_poison_csv(folder / "test-poison.csv")
