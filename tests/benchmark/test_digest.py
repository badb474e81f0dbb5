"""What a table comes to, and where it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openbackdoor_badllm.benchmark.digest import digest
from openbackdoor_badllm.benchmark.publish import publish


def spread(*values: float | None) -> dict[str, Any]:
    return {"values": list(values), "mean": None, "std": None}


def record(attack: str, defender: str, rate: float = 0.2, **figures: Any) -> dict[str, Any]:
    return {
        "dataset": "sst-2", "attack": attack, "rate": rate, "setting": "dirty", "victim": "minilm", "profile": "desk",
        "defender": defender, "ours": defender == "badllmtg", "reference": defender in ("none", "oracle", "clean"),
        "seeds": [1, 2], "cells": [], "failures": [], "paper": None,
        "figures": {name.replace("_", " "): value for name, value in figures.items()},
    }  # fmt: skip


TABLE: dict[str, Any] = {
    "schema": 1, "grid": "test", "ours": "badllmtg", "host": {"name": "builtin"}, "versions": [],
    "averages": [], "comparisons": [],
    "records": [
        record("badnets", "badllmtg", CACC=spread(0.9, 0.8), ASR=spread(0.1, 0.1), excess_ASR=spread(0.01, 0.03),
               label_right=spread(1.0, 0.0), variant_ASR=spread(0.1, 0.1), precision=spread(1.0, 0.9),
               recall=spread(1.0, None)),
        record("badnets", "oracle", CACC=spread(0.88, 0.8), ASR=spread(0.2, 0.2)),
        record("badnets", "clean", CACC=spread(0.92, 0.86), ASR=spread(0.09, 0.07)),
        record("stylebkd", "badllmtg", CACC=spread(0.7, 0.7), ASR=spread(0.3, 0.3), excess_ASR=spread(-0.05, -0.03),
               label_right=spread(1.0, 1.0), precision=spread(0.8, 0.8), recall=spread(0.7, 0.7)),
        record("stylebkd", "clean", CACC=spread(0.71, 0.71), ASR=spread(0.35, 0.33)),
        record("badnets", "badllmtg", rate=0.0, backdoor=spread(0.0, 1.0), CACC=spread(0.9, 0.9)),
    ],
}  # fmt: skip


def test_differences_are_taken_within_a_seed_then_averaged_over_the_pair() -> None:
    tables = digest(TABLE)
    poisoned, clean = ({row.head: [cell[0].text for cell in row.cells] for row in table.rows} for table in tables)
    assert poisoned == {
        "target label right": ["2", "4", "3 of 4"],
        "flagged rows, words and sentences: precision / recall": [
            "1", "2", "0.950 (lowest 0.900) / 1.000 (lowest 1.000)",
        ],
        "flagged rows, style and syntax: precision / recall": [
            "1", "2", "0.800 (lowest 0.800) / 0.700 (lowest 0.700)",
        ],
        "excess ASR (points above a victim trained on clean rows); worst pair +2.0": [
            "2", "4", "mean -1.0, lowest -4.0, highest +2.0, deviation over the pairs 4.2",
        ],
        "CACC against the oracle filter (points); worst pair +1.0": [  # one pair has an oracle line
            "1", "2", "mean +1.0, lowest +1.0, highest +1.0",
        ],
        "CACC against a victim trained on clean rows (points); worst pair -4.0": [
            "2", "4", "mean -2.5, lowest -4.0, highest -1.0, deviation over the pairs 2.1",
        ],
    }  # fmt: skip
    assert clean == {"false alarms on clean sets": ["1", "2", "1 of 2"]}


def test_publishing(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("before\n<!-- desk -->\nold\n<!-- /desk -->\nafter\n", encoding="utf-8")
    for _ in range(2):  # the same again
        publish(TABLE, tmp_path / "desk", page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- desk -->\n")
    assert text.endswith("<!-- /desk -->\nafter\n")
    assert "old" not in text
    assert text.count("| target label right | 2 | 4 | 3 of 4 |") == 1
    assert json.loads((tmp_path / "desk" / "table.json").read_text(encoding="utf-8")) == TABLE
    assert "At a glance" in (tmp_path / "desk" / "README.md").read_text(encoding="utf-8")
