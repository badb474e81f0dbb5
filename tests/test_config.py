"""Configurations: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm import config as module
from openbackdoor_badllm.config import BadLLMTGConfig, TrainConfig, VictimConfig, train_spec
from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import apply_overrides, load_json, read
from openbackdoor_badllm.report import AuditConfig
from openbackdoor_badllm.training.spec import TrainSpec
from openbackdoor_badllm.trigger_generator.search import SearchConfig


@dataclass(frozen=True)
class Inner:
    rows: int = 1


@dataclass(frozen=True)
class Outer:
    rate: float = 0.5
    count: int | None = None
    flag: bool = False
    name: str = "x"
    names: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None


CONFIGS = [
    value
    for value in vars(module).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("cls", [*CONFIGS, SearchConfig, AuditConfig, TrainSpec], ids=lambda cls: cls.__name__)
def test_every_field_has_its_docstring(cls: type) -> None:
    tree = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(tree, ast.ClassDef)
    documented = {
        node.target.id
        for node, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
    bases = [base for base in cls.__bases__ if dataclasses.is_dataclass(base)]
    inherited = {item.name for base in bases for item in dataclasses.fields(base)}
    assert documented == {item.name for item in dataclasses.fields(cls)} - inherited  # the base is looked at itself


def test_read_gives_the_defaults_for_nothing() -> None:
    for cls in (VictimConfig, TrainConfig, BadLLMTGConfig, Outer):
        assert read(cls, {}, "x") == cls()


def test_read_fits_what_json_cannot_say() -> None:
    made = read(Outer, {"rate": 1, "count": 3.0, "names": ["a", "b"], "inner": {"rows": 2}, "maybe": {}}, "x")
    assert made == Outer(rate=1.0, count=3, names=("a", "b"), inner=Inner(2), maybe=Inner())
    assert type(made.rate) is float
    assert type(made.count) is int
    assert read(Outer, {"count": None, "maybe": None}, "x") == Outer()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"rat": 1}, r"^'top' has no key 'rat': did you mean 'rate'\?$"),
        ({"zzz": 1}, r"^'top' has no key 'zzz': it knows count, flag, inner, maybe, name, names, rate\.$"),
        ({"inner": {"row": 1}}, r"^'top\.inner' has no key 'row': did you mean 'rows'\?$"),
        ({"maybe": {"row": 1}}, r"^'top\.maybe' has no key 'row'"),
        ({"rate": "0.5"}, r"^'top\.rate' must be a number, but is \"0\.5\"\.$"),
        ({"rate": True}, r"'top\.rate' must be a number, but is true"),
        ({"rate": None}, r"'top\.rate' must be a number, but is null"),
        ({"count": 2.5}, r"'top\.count' must be a whole number, but is 2\.5"),
        ({"count": True}, r"'top\.count' must be a whole number, but is true"),
        ({"count": float("inf")}, r"'top\.count' must be a whole number, but is Infinity"),
        ({"flag": 1}, r"'top\.flag' must be true or false, but is 1"),
        ({"name": 3}, r"'top\.name' must be text, but is 3"),
        ({"names": "ab"}, r"'top\.names' must be a list, but is \"ab\""),
        ({"names": ["a", 1]}, r"'top\.names' must be text, but is 1"),
        ({"inner": [1]}, r"'top\.inner' must be a section in braces, but is \[1\]"),
        ({"inner": None}, r"'top\.inner' must be a section in braces, but is null"),
        ({"name": ["x" * 100]}, r"but is \[\"x{55}\.\.\.\.$"),
    ],
)
def test_read_says_what_is_wrong(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(Outer, section, "top")


@pytest.mark.parametrize(
    ("cls", "section", "message"),
    [
        (VictimConfig, {"type": "lstm"}, "'victim.type' must be 'plm'"),
        (VictimConfig, {"device": "gpuu"}, "'victim.device' must be 'gpu', 'cpu' or 'cuda', .* did you mean 'gpu'"),
        (VictimConfig, {"max_len": 3}, "'victim.max_len' must be at least 4, but is 3"),
        (VictimConfig, {"num_classes": 1}, "'victim.num_classes' must be at least 2"),
        (TrainConfig, {"name": "lws"}, "'train.name' must be 'base'"),
        (TrainConfig, {"ckpt": "first"}, "'train.ckpt' must be 'best' or 'last'"),
        (TrainConfig, {"loss_function": "mse"}, "'train.loss_function' must be 'ce'"),
        (TrainConfig, {"precision": "fp16"}, "'train.precision' must be"),
        (TrainConfig, {"epochs": 0}, "'train.epochs' must be at least 1"),
        (TrainConfig, {"batch_size": 0}, "'train.batch_size' must be at least 1"),
        (TrainConfig, {"gradient_accumulation_steps": 0}, "'train.gradient_accumulation_steps'"),
        (TrainConfig, {"warm_up_epochs": -1}, "'train.warm_up_epochs' must be at least 0"),
        (TrainConfig, {"lr": 0}, "'train.lr' must be above 0"),
        (TrainConfig, {"lr": float("nan")}, "'train.lr' must be above 0 .*but is nan"),
        (TrainConfig, {"warm_up_epochs": float("nan")}, "'train.warm_up_epochs' must be at least 0, but is nan"),
        (TrainConfig, {"visualize": True}, "'train.visualize' draws pictures in the real OpenBackdoor only"),
        (BadLLMTGConfig, {"pre": False}, "set 'pre' to true and 'correction' to false"),
        (BadLLMTGConfig, {"correction": True}, "set 'pre' to true and 'correction' to false"),
        (BadLLMTGConfig, {"target": "papers"}, "'defender.target' must be .* did you mean 'paper'"),
        (BadLLMTGConfig, {"repair": "relable"}, "'defender.repair' must be .* did you mean 'relabel'"),
        (BadLLMTGConfig, {"max_labels": 0}, "'defender.max_labels' must be at least 1"),
        (BadLLMTGConfig, {"trace_points": 3}, "'defender.trace_points' must be at least 4"),
        (BadLLMTGConfig, {"trace_rows": 19}, "'defender.trace_rows' must be at least 20"),
        (BadLLMTGConfig, {"stamp_share": 1.5}, "'defender.stamp_share' must lie in 0 to 1, but is 1.5"),
        (BadLLMTGConfig, {"llm": {"backend": "gpt"}}, "llm.backend must be one of"),
        (BadLLMTGConfig, {"search": {"probe_row": 3}}, "did you mean 'probe_rows'"),
        (BadLLMTGConfig, {"train": {"epoch": 3}}, "did you mean 'epochs'"),
    ],
)
def test_values_that_are_refused(cls: type, section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(cls, section, "x")


def test_train_spec() -> None:
    victim = VictimConfig(path="auto", max_len=77, device="cuda")
    train = TrainConfig(lr=1e-4, weight_decay=0.1, epochs=3, batch_size=5, gradient_accumulation_steps=2,
                        max_grad_norm=0.5, warm_up_epochs=1, ckpt="last", precision="fp32")  # fmt: skip
    spec = train_spec(victim, train, num_labels=4, seed=9, path="minilm")
    assert spec == TrainSpec(
        path="minilm", num_labels=4, max_len=77, lr=1e-4, weight_decay=0.1, epochs=3, batch_size=5, warm_up_epochs=1,
        gradient_accumulation_steps=2, max_grad_norm=0.5, ckpt="last", device="gpu", precision="fp32", seed=9,
    )  # fmt: skip
    own = dataclasses.replace(train, seed=0)
    assert train_spec(victim, own, num_labels=2, seed=9, path="x").seed == 0
    assert train_spec(VictimConfig(device="cpu"), own, num_labels=2, seed=9, path="x").device == "cpu"


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
