"""The keys of a data set: defaults, checks, and the sentence for each wrong one."""

from __future__ import annotations

import inspect

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


def test_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"it knows clean_data_basepath, data_root, dev_file"):
        DatasetConfig.from_keys({"zzz": 1})


def test_null_means_the_default() -> None:
    assert DatasetConfig.from_keys({"load": None, "seed": None, "text_column": None}) == DatasetConfig()


def test_label_names_from_json_become_a_tuple() -> None:
    config = DatasetConfig.from_keys({"label_names": ["ham", "spam"]})
    assert config.label_names == ("ham", "spam")
