"""The base of all sections: what it takes, and the sentence for what it does not."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.section import AnyCase, Count, Section, Share, Text, read

SECRET = "sk-SENTINEL0123456789abcdef"


class Inner(Section):
    rows: Count = 1
    """Rows."""


class Secret(Section):
    discreet: ClassVar[bool] = True
    size: float = 1.0
    mode: Literal["auto", "plain"] = "auto"


class Outer(Section):
    place: ClassVar[str] = "outer"
    rate: Share = 0.5
    count: Count | None = None
    flag: bool = False
    name: str = "x"
    title: Text = "x"
    kind: Annotated[Literal["base", "other"], AnyCase] = "base"
    names: tuple[str, ...] = ()
    pair: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] = (0.0, 1.0)
    either: tuple[str, ...] | str | None = None
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    inner: Inner = Inner()
    maybe: Inner | None = None
    llm: Secret = Secret()
    number: float = 3

    @model_validator(mode="after")
    def _rule(self) -> Outer:
        if self.flag and self.name == "bad":
            raise ValueError("'{here}.name' is bad: take another.")
        return self


def test_what_json_cannot_say_is_fitted() -> None:
    values = {"rate": 1, "count": 3.0, "names": ["a", "b"], "pair": [1, 2], "inner": {"rows": 2}, "maybe": {}}
    made = read(Outer, {**values, "kind": "BASE", "options": MappingProxyType({"a": {}})}, "x")
    expected = Outer(rate=1.0, count=3, names=("a", "b"), pair=(1.0, 2.0), inner=Inner(rows=2), maybe=Inner())
    assert made == expected.replace(options={"a": {}})
    assert (type(made.rate), type(made.count)) == (float, int)
    assert read(Outer, {"count": None, "maybe": None}, "x") == read(Outer, MappingProxyType({}), "x") == Outer()


def test_a_section_that_is_one_already_is_taken() -> None:
    inner = Inner(rows=5)
    assert read(Outer, {"inner": inner, "maybe": inner}, "x") == Outer(inner=inner, maybe=inner)


def test_it_is_frozen_and_replace_checks_what_changes() -> None:
    section = Outer()
    with pytest.raises(ValidationError, match="frozen"):
        section.rate = 0.1  # type: ignore[misc]
    changed = section.replace(rate=1, inner=Inner(rows=3))
    assert (changed.rate, changed.inner.rows, section.rate) == (1.0, 3, 0.5)
    assert type(changed.number) is int  # not converted: a name made of its values stays the same
    with pytest.raises(ConfigError, match=r"^'outer\.rate' must be a number from 0 to 1, but is 2\.$"):
        section.replace(rate=2)
    with pytest.raises(ConfigError, match=r"^'outer' has no key 'rat': did you mean 'rate'\?$"):
        section.replace(rat=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rat": 1}, "'top' has no key 'rat': did you mean 'rate'?"),
        ({"rat": 1, "count": 0}, "'top' has no key 'rat': did you mean 'rate'?"),
        ({"inner": {"row": 1}}, "'top.inner' has no key 'row': did you mean 'rows'?"),
        ({"maybe": {"zz": 1}}, "'top.maybe' has no key 'zz': it knows rows."),
        ({"rate": "0.5"}, "'top.rate' must be a number from 0 to 1, but is \"0.5\"."),
        ({"rate": True}, "'top.rate' must be a number from 0 to 1, but is true."),
        ({"rate": None}, "'top.rate' must be a number from 0 to 1, but is null."),
        ({"rate": float("nan")}, "'top.rate' must be a number from 0 to 1, but is NaN."),
        ({"number": float("inf")}, "'top.number' must be a number, but is Infinity."),
        ({"count": 2.5}, "'top.count' must be a whole number of at least 1, but is 2.5."),
        ({"count": True}, "'top.count' must be a whole number of at least 1, but is true."),
        ({"flag": 1}, "'top.flag' must be true or false, but is 1."),
        ({"name": 3}, "'top.name' must be text, but is 3."),
        ({"title": " "}, "'top.title' must be text that is not empty, but is \" \"."),
        ({"kind": "bas"}, "'top.kind' must be 'base' or 'other', but is \"bas\"; did you mean 'base'?"),
        ({"names": "ab"}, "'top.names' must be a list of texts, but is \"ab\"."),
        ({"names": ["a", 1]}, "'top.names' must be a list of texts, but holds 1."),
        ({"pair": [1]}, "'top.pair' must be a list of numbers, 2 of them, but is [1]."),
        ({"either": 3}, "'top.either' must be a list of texts or text, but is 3."),
        ({"inner": [1]}, "'top.inner' must be a section in braces, but is [1]."),
        ({"maybe": 0}, "'top.maybe' must be a section in braces, but is 0."),
        ({"name": ["x" * 100]}, f"'top.name' must be text, but is [\"{'x' * 55}...."),
        ({"flag": True, "name": "bad"}, "'top.name' is bad: take another."),
    ],
)
def test_the_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(Outer, values, "top")
    assert str(caught.value) == sentence
    with pytest.raises(ConfigError) as made:
        Outer(**values)
    assert str(made.value) == sentence.replace("'top", "'outer")


@pytest.mark.parametrize("section", [[], None, "x", 3])
def test_no_section(section: Any) -> None:
    with pytest.raises(ConfigError, match=r"^'top' must be a section in braces, but is .+\.$"):
        read(Outer, section, "top")


@pytest.mark.parametrize(
    "values",
    [
        {"llm": "SENTINEL"},
        {"llm": ["SENTINEL"]},
        {"llm": {"size": "SENTINEL"}},
        {"llm": {"size": {"api_key": "SENTINEL"}}},
        {"llm": {"size": ["SENTINEL"]}},
        {"llm": {"mode": SECRET}},
        {"llm": {"token": "SENTINEL"}},
        {"llm": {SECRET: 1}},
        {"count": SECRET},
        {"count": {"deep": [SECRET]}},
        {SECRET: 1},
    ],
)
def test_what_may_be_a_secret_is_not_shown(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(Outer, values, "defender")
    assert "SENTINEL" not in str(caught.value)
    if "llm" in values:
        with pytest.raises(ConfigError) as alone:
            read(Secret, values["llm"], "llm")
        assert "SENTINEL" not in str(alone.value)
