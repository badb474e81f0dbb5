"""The keys of a data set: defaults, checks, and the sentence for each wrong one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from openbackdoor_badllm.data.dataset import load_dataset
from openbackdoor_badllm.data.dataset_config import DatasetConfig
from openbackdoor_badllm.errors import ConfigError


def test_openbackdoors_keys_come_first_with_its_defaults() -> None:
    parameters = inspect.signature(load_dataset).parameters
    assert [(name, parameter.default) for name, parameter in list(parameters.items())[:5]] == [
        ("test", False),
        ("name", "sst-2"),
        ("dev_rate", 0.1),
        ("load", False),
        ("clean_data_basepath", None),
    ]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("dev_ratio", "dev_rate"), ("textcolumn", "text_column"), ("clean_data_base_path", "clean_data_basepath")],
)
def test_misspelt_key_names_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"^'data set' has no key '{key}': did you mean '{nearest}'"):
        load_dataset(**{key: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", "", "a text that is not empty"),
        ("name", 3, "a text that is not empty"),
        ("load", "true", "true or false"),
        ("test", 1, "true or false"),
        ("drop_empty", "no", "true or false"),
        ("dev_rate", 1, "a share from 0"),
        ("dev_rate", -0.1, "a share from 0"),
        ("dev_rate", float("nan"), "a share from 0"),
        ("dev_rate", True, "a share from 0"),
        ("test_rate", "0.2", "a share from 0"),
        ("max_train", 0, "a whole number of at least 1"),
        ("max_dev", True, "a whole number of at least 1"),
        ("max_test", 2.5, "a whole number of at least 1"),
        ("num_classes", 1, "a whole number of at least 2"),
        ("seed", "7", "a whole number"),
        ("split_seed", 0.5, "a whole number"),
        ("data_root", 3, "a path"),
        ("path", "", "a path"),
        ("train_file", "a\0b", "a path"),
        ("clean_data_basepath", ["x"], "a path"),
        ("text_column", "", "a text that is not empty"),
        ("hub_config", 1, "a text that is not empty"),
        ("label_names", "ab", "a list of class names"),
        ("label_names", ["a", 1], "a list of class names"),
        ("label_names", ["a"], "at least two names"),
        ("label_names", ["a", "a"], "at least two names"),
    ],
)
def test_wrong_value_is_told(key: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^The data set's key '{key}' expects {expected}"):
        DatasetConfig.from_keys({key: value})


def test_label_names_and_num_classes_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"disagree, 3 against 2 names"):
        DatasetConfig(num_classes=3, label_names=("a", "b"))


def test_custom_needs_a_file() -> None:
    with pytest.raises(ConfigError, match=r"'custom' expects the key path"):
        DatasetConfig(name="custom")


def test_hub_name_and_path_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"'a/b' is a hub name, but path is set too"):
        DatasetConfig(name="a/b", path="x.csv")
