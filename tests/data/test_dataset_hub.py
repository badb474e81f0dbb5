"""Hub data sets, with the package ``datasets`` played by a stand-in: no test reaches for a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.errors import ConfigError, DataError, MissingExtraError
from openbackdoor_badllm.rows import Row


class Part:
    """One split of a stand-in data set."""

    def __init__(self, columns: dict[str, list[Any]], names: list[str] | None = None) -> None:
        self.columns = columns
        self.column_names = list(columns)
        self.features = {key: SimpleNamespace(names=names if key == "label" else None) for key in columns}

    def __getitem__(self, key: str) -> list[Any]:
        return self.columns[key]


def part(prefix: str, count: int = 4, label: Callable[[int], Any] = lambda i: i % 2, **kwargs: Any) -> Part:
    rows = range(count)
    return Part({"text": [f"{prefix} {i}" for i in rows], "label": [label(i) for i in rows]}, **kwargs)


class Hub:
    """Records the calls; answers with ``splits`` or raises ``error``."""

    def __init__(self) -> None:
        self.splits: dict[str, Part] = {}
        self.error: Exception | None = None
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def load_dataset(self, *args: Any, **kwargs: Any) -> dict[str, Part]:
        self.calls.append((args, kwargs))
        if self.error is not None:
            raise self.error
        return self.splits


class FakeDatasetsError(Exception):
    """The stand-in's own error."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    played = Hub()
    module = ModuleType("datasets")
    module.load_dataset = played.load_dataset  # type: ignore[attr-defined]
    module.exceptions = SimpleNamespace(DatasetsError=FakeDatasetsError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return played


def test_splits_and_class_names(hub: Hub) -> None:
    names = ["neg", "pos"]
    hub.splits = {"train": part("a", names=names), "validation": part("b"), "test": part("c")}
    splits = load_dataset(name="someone/reviews", hub_revision="abc")
    assert splits["dev"][1] == Row("b 1", 1)
    assert splits.info.label_names == ("neg", "pos")
    assert splits.info.source["dev"] == "hub data set 'someone/reviews', split 'validation'"
    assert hub.calls == [(("someone/reviews", None), {"revision": "abc"})]


def test_code_from_the_hub_is_never_trusted(hub: Hub) -> None:
    hub.splits = {"train": part("a", 20), "test": part("c")}
    load_dataset(name="hf:imdb", hub_config="plain")
    assert hub.calls == [(("imdb", "plain"), {"revision": None})]


@pytest.mark.parametrize("names", [None, ["neg", "pos"]])
def test_missing_splits_are_drawn(hub: Hub, names: list[str] | None) -> None:
    hub.splits = {"train": part("a", 100, names=names)}
    splits = load_dataset(name="hf:x")
    assert [len(rows) for rows in splits.values()] == [72, 8, 20]


def test_split_names_can_be_given(hub: Hub) -> None:
    hub.splits = {"train": part("a", 20), "validation": part("b"), "test": part("c", label=lambda i: -1)}
    assert load_dataset(name="hf:x", test_file="validation", dev_file="validation")["test"][0].text == "b 0"
    with pytest.raises(DataError, match=r"all -1, so the split is unlabelled: .* test_file 'validation'"):
        load_dataset(name="hf:x")


def test_unknown_split_lists_those_there(hub: Hub) -> None:
    hub.splits = {"train": part("a")}
    with pytest.raises(
        DataError, match=r"should have a split 'dev2', but has train: name one of them with dev_file"
    ):
        load_dataset(name="hf:x", dev_file="dev2")


def test_missing_column_lists_those_there(hub: Hub) -> None:
    hub.splits = {"train": Part({"premise": ["a"], "label": [0]})}
    with pytest.raises(
        DataError, match=r"split 'train' should have one of the columns .*, but has 'premise', 'label'"
    ):
        load_dataset(name="hf:x")


def test_number_of_declared_classes_is_fixed(hub: Hub) -> None:
    hub.splits = {"train": part("a", names=["neg", "pos"]), "test": part("b")}
    with pytest.raises(ConfigError, match=r"has 2 classes, but num_classes or label_names say 3"):
        load_dataset(name="hf:x", num_classes=3)
    assert load_dataset(name="hf:x", label_names=["-", "+"]).info.label_names == ("-", "+")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach 'a/b' on the Hub\nmore lines"),
        FileNotFoundError("Couldn't reach 'a/b' on the Hub."),
        ValueError("Couldn't reach 'a/b' on the Hub"),
        RuntimeError("Couldn't reach 'a/b' on the Hub"),
        FakeDatasetsError("Couldn't reach 'a/b' on the Hub"),
    ],
)
def test_unreachable_hub_is_one_sentence(hub: Hub, error: Exception) -> None:
    hub.error = error
    with pytest.raises(
        DataError, match=r"cannot be had \(Couldn't reach 'a/b' on the Hub\): check the name"
    ) as caught:
        load_dataset(name="a/b")
    assert "\n" not in str(caught.value)


def test_local_path_as_name_gets_a_hint(hub: Hub, tmp_path: Path) -> None:
    hub.error = ConnectionError("no")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.csv").touch()
    with pytest.raises(DataError, match=r"that is a local path: use the key path for it"):
        load_dataset(name="a/b.csv", data_root=tmp_path)


@pytest.mark.parametrize("module", [None, ModuleType("datasets")])
def test_missing_package_names_the_extra(module: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bare module is what a folder datasets/ in the working directory imports as.
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(MissingExtraError, match=r"'a/b' needs the package 'datasets'.*\[hub\]"):
        load_dataset(name="a/b")
