"""The table of what each defence reaches and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.runner import Cell, CellResult
from openbackdoor_badllm.benchmark.tables import summarise, to_csv, to_defence_markdown, to_markdown

PLAIN = {"name": "undefended", "CACC": 0.9, "ASR": 1.0, "R-Acc": 0.0, "seconds": 1.0, "peak_memory_mb": 500.0}


def result(name: str, seed: int, **figures: Any) -> CellResult:
    line = {**PLAIN, "name": "defended", "defence_seconds": 2.0, **figures}
    details = {"language_model": "a|b<c"} if name == "onion" else {}
    results = {
        "lines": [PLAIN, line],
        "seconds": 5.0,
        "defence": {"outcome": "rejected rows", "details": details},
    }
    return CellResult(Cell(Path(f"x_{name}.json"), seed, {}), results)


def test_one_line_for_each_defence() -> None:
    finished = [
        result("strip", 1, FRR=0.05, FAR=0.5, AUROC=0.75, **{"CACC let through": 0.95, "ASR let through": None}),
        result("strip", 2, FRR=0.07, FAR=0.7, AUROC=0.85, **{"CACC let through": 0.93, "ASR let through": None}),
        result("onion", 1),
    ]
    records = summarise(finished)
    strip, onion = to_defence_markdown(records).splitlines()[2:]
    assert strip == (
        "| x_strip | rejected rows | 90.0 ± 0.0 | 100.0 ± 0.0 | 0.0 ± 0.0 | 6.0 ± 1.4 | 60.0 ± 14.1 | 0.800 | "
        "94.0 ± 1.4 / - | 2.0 | 500 | - |"
    )
    assert onion == (
        "| x_onion | rejected rows | 90.0 | 100.0 | 0.0 | - | - | - | - / - | 2.0 | 500 | a\\|b&lt;c |"
    )
    assert len({line.count("|") for line in to_markdown(records).splitlines()}) == 1
    header, first, _ = to_csv(records).splitlines()
    assert dict(zip(header.split(","), first.split(","), strict=True))["defended FRR mean"] == "0.0600"


def test_without_a_defence_there_is_no_line() -> None:
    bare = CellResult(Cell(Path("x_none.json"), 1, {}), {"lines": [PLAIN], "seconds": 1.0})
    failed = CellResult(Cell(Path("y.json"), 1, {}), None, "no data")
    assert len(to_defence_markdown(summarise([bare, failed])).splitlines()) == 2
