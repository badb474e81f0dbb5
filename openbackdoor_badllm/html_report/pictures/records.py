"""What a benchmark's pictures have in common: records (see :mod:`openbackdoor_badllm.benchmark`) and their looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from openbackdoor_badllm.html_report.pictures.canvas import FLOOR_LOOK, UNDEFENDED_LOOK, Look, label, look

Record = Mapping[str, Any]
NONE, ORACLE, CLEAN = "none", "oracle", "clean"
REFERENCES = (NONE, ORACLE, CLEAN)


class Value(NamedTuple):
    """A mean over seeds (or pairs) with its standard deviation; both None where nothing was measured."""

    mean: float | None
    std: float | None

    def percent(self) -> str:
        """As text."""
        if self.mean is None:
            return "not measured"
        return f"{100 * self.mean:.1f}" + (f" ± {100 * self.std:.1f}" if self.std is not None else "")


def value(record: Record, figure: str) -> Value:
    """A figure of a record; the deviation is None where there is one seed only."""
    found = (record.get("figures") or {}).get(figure) or {}
    mean, std = found.get("mean"), found.get("std")
    several = len([item for item in found.get("values") or [0, 0] if item is not None]) > 1
    return Value(mean, std if several else None)


def defenders(records: Iterable[Record]) -> list[str]:
    """Ours first, then the others as they come, the references last."""
    kept = list(records)
    names = dict.fromkeys(str(record["defender"]) for record in sorted(kept, key=lambda item: not item.get("ours")))
    return [*(name for name in names if name not in REFERENCES), *(name for name in REFERENCES if name in names)]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """One look for each defender, the same in all pictures of a benchmark."""
    free = [name for name in names if name not in REFERENCES]
    chosen = {name: look(number) for number, name in enumerate(free)}
    chosen.update({NONE: UNDEFENDED_LOOK, CLEAN: FLOOR_LOOK, ORACLE: look(len(free))})
    return chosen


def named(defender: str) -> str:
    """A defender in a legend."""
    return {NONE: "no defence", ORACLE: "oracle filter", CLEAN: "clean rows (floor)"}.get(defender) or label(defender)


def distinct(records: Iterable[Record], key: str) -> list[Any]:
    """The values of a key, in their order."""
    return list(dict.fromkeys(record[key] for record in records))


def file_name(*parts: object) -> str:
    """A safe file name and id from words of unknown origin."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(map(str, parts)).lower()).strip("-")[:80] or "picture"
