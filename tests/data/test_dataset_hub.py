"""Hub data sets, with the package ``datasets`` played by a stand-in: no test reaches for a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.errors import DataError, MissingExtraError
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
    with pytest.raises(DataError, match=r"cannot be had \(Couldn't reach 'a/b' on the Hub\): check the name") as caught:
        load_dataset(name="a/b")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", [None, ModuleType("datasets")])
def test_missing_package_names_the_extra(module: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bare module is what a folder datasets/ in the working directory imports as.
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(MissingExtraError, match=r"'a/b' needs the package 'datasets'.*\[hub\]"):
        load_dataset(name="a/b")
