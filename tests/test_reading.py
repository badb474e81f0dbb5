"""Files that a user names and ``--set``: what is read, and the sentence for what is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import apply_overrides, at_least, load_json, one_of, put, refuse_unknown


def test_one_of_and_at_least_pass_what_is_allowed() -> None:
    one_of("x", "a", ("a", "b"))
    at_least("x", 1, 1)
    refuse_unknown([], ["a"], "x")
    with pytest.raises(ConfigError, match=r"^'x' must be 'a', 'b' or 'c', but is \"zzz\"\.$"):
        one_of("x", "zzz", ("a", "b", "c"))


def test_load_json(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": {"b": 1}}')  # as Windows editors write it
    assert load_json(path) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n  "a": 1,\n  "b": \n}', r"is not valid JSON: .* at line 4, column 1\.$"),
        (b"", r"is not valid JSON: .* at line 1, column 1"),
        (b"[1]", r"must hold an object in braces, but holds \[1\]"),
        (b'"\xff"', r"cannot be read \(it is not UTF-8 text\)"),
    ],
)
def test_load_json_of_no_config(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_json(path)


def test_load_json_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.json' does not exist: check the path after --config\.$"):
        load_json(tmp_path / "c.json")
    if sys.platform != "win32":
        with pytest.raises(ConfigError, match="cannot be read"):
            load_json(tmp_path)


def test_overrides() -> None:
    config: dict[str, Any] = {"defender": {"repair": "relabel", "search": {"probe_rows": 40}}, "seed": 1}
    apply_overrides(
        config,
        [
            "defender.repair=paper", "defender.search.probe_rows=10", "seed=2", "attacker.train.lr=1e-4",
            "defender.target_label=null", "note=a=b", "victim.path=", "list=[1, 2]", " spaced =yes", "pre=true",
        ],
    )  # fmt: skip
    assert config == {
        "defender": {"repair": "paper", "search": {"probe_rows": 10}, "target_label": None},
        "seed": 2,
        "attacker": {"train": {"lr": 1e-4}},
        "note": "a=b",
        "victim": {"path": ""},
        "list": [1, 2],
        "spaced": "yes",
        "pre": True,
    }


@pytest.mark.parametrize("override", ["defender.repair", "=3", " =3", ""])
def test_an_override_needs_a_key_and_a_value(override: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set expects key=value, for instance defender\.repair=paper, but got '"):
        apply_overrides({}, [override])


def test_a_path_through_a_value() -> None:
    config = {"seed": 1}
    with pytest.raises(ConfigError, match=r"^'seed\.deep\.er' cannot be set: 'seed' is 1, not a section\.$"):
        put(config, "seed.deep.er", 2)
    assert config == {"seed": 1}
