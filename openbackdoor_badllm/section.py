"""What every section of a config is: a frozen pydantic model that refuses what does not fit in one sentence.

A key is one annotated field: its type and bounds, its default, and below it the docstring that tells its meaning.
The error messages and the reference page ``docs/configuration.md`` are both made from that.

Pydantic is imported here, so a module that the command line imports at its start must not import this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import shown
from openbackdoor_badllm.refusal import sentence

if TYPE_CHECKING:
    from typing import Self

S = TypeVar("S", bound="Section")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number; JSON written by other programs may hold 3.0 for 3."""
Natural = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(_whole)]
"""What NumPy and torch take for a seed."""
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(pattern=r"\S")]
"""Text that is not empty."""
AnyCase = BeforeValidator(_lower)
"""Beside a ``Literal`` of lower-case names: the case does not count."""


class Section(BaseModel):
    """A section of a config: frozen; an unknown key or a value that does not fit is refused.

    A validator of a subclass raises ``ValueError`` with the whole sentence; ``{here}`` in it stands for the place of
    the section or key in the config.

    Attributes:
        place: name of the section in messages, where it is not read from a config.
        discreet: messages show no text and no structure that came in the place of a value: it may be a secret.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )
    place: ClassVar[str] = ""
    discreet: ClassVar[bool] = False

    @field_validator("*", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        """JSON has no tuples, and a read-only mapping is as good as a dict."""
        if isinstance(value, list):
            return tuple(value)
        return dict(value) if isinstance(value, Mapping) and not isinstance(value, dict) else value

    if not TYPE_CHECKING:  # a type checker derives the signature from the fields

        def __init__(self, **values: Any) -> None:
            """Checks the values.

            Raises:
                ConfigError: a key is unknown, or a value does not fit.
            """
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ConfigError(sentence(error, type(self), self.place)) from None

        # As in pydantic's RootModel: a nested section is then checked as a part of the outer one, and keeps its place.
        __init__.__pydantic_base_init__ = True

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed; the changed ones are checked, the others stay as they are.

        Raises:
            ConfigError: a key is unknown, or a value does not fit.
        """
        checked = type(self)(**{**vars(self), **changes})
        return self.model_copy(update={key: getattr(checked, key) for key in changes})


def read(cls: type[S], section: Mapping[str, Any], where: str) -> S:
    """Makes a section from JSON or YAML.

    Args:
        cls: the section's class.
        section: keys and values.
        where: its name in messages, for instance ``"attacker.train"``.

    Raises:
        ConfigError: the section is no mapping, a key is unknown, or a value does not fit.
    """
    given: object = section  # a config may hold anything
    if not isinstance(given, Mapping):
        came = "" if cls.discreet else f", but is {shown(given)}"
        raise ConfigError(f"'{where}' must be a section in braces{came}.")
    try:
        return cls.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(sentence(error, cls, where)) from None

