"""Keys that the baselines' config sections share. Each baseline's file has a dataclass of its own keys."""

from __future__ import annotations

from dataclasses import dataclass

from openbackdoor_badllm.errors import ConfigError
from openbackdoor_badllm.reading import at_least, check_seed


@dataclass(frozen=True)
class DefenderKeys:
    """Keys of every defender."""

    name: str = ""
    """The name under which it is registered."""
    pre: bool = False
    """It acts on the training rows, before the victim is trained; fixed by the defender."""
    correction: bool = False
    """At test time it rewrites texts instead of flagging them."""
    metrics: tuple[str, ...] = ("FRR", "FAR")
    """OpenBackdoor's key for detectors; all figures are always given."""
    seed: int = 42
    """Seed of everything that is drawn; no global generator is touched."""

    def __post_init__(self) -> None:
        check_seed("defender.seed", self.seed)

    def want_pre(self, pre: bool) -> None:
        """Refuses a ``pre`` that the defender cannot do.

        Raises:
            ConfigError: it is another.
        """
        if self.pre is not pre:
            when = "filters training rows" if pre else "acts at test time"
            raise ConfigError(f"'{self.name}' {when}: set 'pre' to {str(pre).lower()}, or leave it out.")


@dataclass(frozen=True)
class CleanRowsKeys(DefenderKeys):
    """Keys of every defender that is given clean rows."""

    clean_rows: int = 400
    """Clean rows that it is given, drawn from dev, never from test; half to construct, half to calibrate. Fewer where
    dev has fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("defender.clean_rows", self.clean_rows, 20)


def within(where: str, value: float, low: float, high: float) -> None:
    """Refuses a number outside ``low`` to ``high``.

    Raises:
        ConfigError: it is outside.
    """
    if not low <= value <= high:
        raise ConfigError(f"'{where}' must lie in {low} to {high}, but is {value}.")
