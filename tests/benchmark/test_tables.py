"""From results to tables: means over seeds, ranks, the floor, the paper's numbers, and texts that mean harm."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from openbackdoor_badllm.benchmark.cells import Cell, plan_grid
from openbackdoor_badllm.benchmark.compare import paired
from openbackdoor_badllm.benchmark.figures import table
from openbackdoor_badllm.benchmark.grid import make_grid
from openbackdoor_badllm.benchmark.published import DEFENDERS, MEANS, TABLE, theirs
from openbackdoor_badllm.benchmark.tables import to_csv, to_latex, to_markdown
from openbackdoor_badllm.evaluation.folder import as_json

GRID: dict[str, Any] = {
    "datasets": ["demo", "demo-news"],
    "attacks": ["badnets", "addsent", "stylebkd"],
    "defenders": {name: {"name": "badllmtg", "stamp_share": share} for name, share in
                  (("badllmtg", 0.1), ("onion", 0.2), ("rap", 0.3))},
    "seeds": [1, 2],
    "profile": "smoke",
    "victims": {"minilm": {}},
}  # fmt: skip
# (CACC, ASR) of the first seed; the second is 0.02 above in both.
LEVELS = {
    "undefended": (0.90, 0.96), "oracle filter": (0.88, 0.10), "trained on clean rows": (0.91, 0.06),
    "badllmtg": (0.89, 0.08), "onion": (0.85, 0.50), "rap": (0.87, 0.30),
}  # fmt: skip


def line(name: str, level: str, cell: Cell, **more: Any) -> dict[str, Any]:
    cacc, asr = LEVELS[level]
    shift = 0.02 * (cell.seed - 1) + 0.001 * len(cell.dataset + cell.attack)
    figures = {"CACC": cacc + shift, "ASR": asr + shift, "R-Acc": None}
    return {"name": name, **figures, "train_rows": 9, "seconds": 2.5, **more}


def fill(out: Path, cells: list[Cell], **of_ours: Any) -> None:
    """Results as cells leave them."""
    for cell in cells:
        results: dict[str, Any] = {"versions": {"torch": "2"}}
        if cell.kind == "references":
            results["lines"] = [line(name, name, cell) for name in list(LEVELS)[:3]]
            results["lines"][2]["variants"] = {"front": 0.25, "end": 0.05}
        else:
            assert cell.defender
            results["lines"] = [line("defended", cell.defender, cell)]
            if cell.defender == "badllmtg":
                results.update(of_ours)
                results["lines"][0]["variants"] = {"front": 0.3, "end": 0.15}
                results["lines"][0].update({"FRR": 0.01, "FAR": 0.2, "AUROC": 0.97, "peak_memory_mb": 900})
        folder = out / cell.folder
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(as_json(results), encoding="utf-8")


@pytest.fixture
def cells() -> list[Cell]:
    return plan_grid(make_grid(GRID))


@pytest.fixture
def made(tmp_path: Path, cells: list[Cell]) -> dict[str, Any]:
    report = {
        "backdoor": True,
        "triggers": [{"text": "=cmd|'/c calc'!A1 <script>alert(1)</script> $x_y$ \\input{/etc/passwd}"}],
        "style": None,
        "llm": {"usage": {"calls": 3, "paid_tokens": 3607, "money": 0.25}},
    }
    truth = {"target_label_right": True, "flagged_precision": 1.0, "flagged_recall": None}
    fill(tmp_path, cells, report=report, truth=truth)
    return table(cells, tmp_path, name="test <grid>", ours="badllmtg")


def record(made: dict[str, Any], defender: str, **more: Any) -> dict[str, Any]:
    wanted = {"dataset": "demo", "attack": "badnets", "defender": defender, **more}
    return next(item for item in made["records"] if wanted.items() <= item.items())


def test_means_and_deviations_over_the_seeds(made: dict[str, Any]) -> None:
    ours = record(made, "badllmtg")
    assert ours["seeds"] == [1, 2]
    asr = ours["figures"]["ASR"]
    assert asr["mean"] == pytest.approx(statistics.fmean(asr["values"]))
    assert asr["std"] == pytest.approx(statistics.stdev(asr["values"]))
    assert asr["values"][1] - asr["values"][0] == pytest.approx(0.02)
    assert ours["figures"]["excess ASR"]["values"] == pytest.approx([0.02, 0.02])
    assert ours["figures"]["variant ASR"]["values"] == [0.3, 0.3]
    assert ours["figures"]["excess variant ASR"]["values"] == pytest.approx([0.1, 0.1])  # "end"; "front" only 0.05
    assert "variant ASR" not in record(made, "onion")["figures"]
    assert ours["figures"]["recall"] == {"values": [None, None], "mean": None, "std": None}
    assert ours["figures"]["LLM tokens"]["mean"] == 3607
    assert ours["figures"]["memory"]["mean"] == 900
    assert "LLM calls" not in record(made, "onion")["figures"]
    assert json.loads(as_json(made)) == json.loads(as_json(made))


def test_averages_are_over_the_pairs(made: dict[str, Any]) -> None:
    average = next(item for item in made["averages"] if item["defender"] == "badllmtg")
    means = [item["figures"]["ASR"]["mean"] for item in made["records"] if item["defender"] == "badllmtg"]
    assert average["pairs"] == len(means) == 6
    assert average["complete"] is True
    assert average["figures"]["ASR"]["mean"] == pytest.approx(statistics.fmean(means))


def test_best_is_bold_and_second_underlined(made: dict[str, Any]) -> None:
    text = to_markdown(made)
    main = next(row for row in text.splitlines() if row.startswith("| demo badnets |"))
    none, ours, onion, rap, oracle, clean = [cell.strip() for cell in main.strip("|").split("|")][1:]
    assert none == "92.1 ± 1.4 / 98.1 ± 1.4"
    assert ours == "**91.1 ± 1.4** / **10.1 ± 1.4**"
    assert rap == "<u>89.1 ± 1.4</u> / <u>32.1 ± 1.4</u>"
    assert onion == "87.1 ± 1.4 / 52.1 ± 1.4"
    assert "*" not in oracle + clean
    assert "<u>" not in none + oracle + clean
    assert "| mean | " in text
    assert "2 seed(s)" in text


def test_a_failed_cell_and_a_missing_one(tmp_path: Path, cells: list[Cell]) -> None:
    first = next(cell for cell in cells if cell.defender == "onion")
    fill(tmp_path, [cell for cell in cells if cell.seed == 1 and cell is not first])
    (tmp_path / first.folder).mkdir(parents=True)
    (tmp_path / first.folder / "failure.json").write_text('{"sentence": "No <b> | here."}', encoding="utf-8")
    made = table(cells, tmp_path, name="g", ours="badllmtg")
    assert record(made, "onion")["failures"] == [{"seed": 1, "cell": first.folder, "sentence": "No <b> | here."}]
    text = to_markdown(made)
    main = next(row for row in text.splitlines() if row.startswith("| demo badnets |"))
    assert "| failed |" in main
    assert "- demo badnets, onion, seed 1: No &lt;b&gt; \\| here." in text
    average = next(item for item in made["averages"] if item["defender"] == "onion")
    assert (average["pairs"], average["complete"]) == (5, False)
    mean = next(row for row in text.splitlines() if row.startswith("| mean |"))
    assert mean.strip("| ").split(" | ")[3] == "-"


def test_texts_of_the_attacker_stay_text(made: dict[str, Any], tmp_path: Path) -> None:
    text = to_markdown(made)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "=cmd\\|'/c" in text  # no new column
    rows = list(csv.reader(io.StringIO(to_csv(made))))
    assert not any(cell[:1] in "=+@" for row in rows for cell in row if cell)
    assert all(len(row) == len(rows[0]) for row in rows)
    evil = {**made, "records": [{**item, "dataset": "=a_b&\\c"} for item in made["records"]]}
    assert "'=a_b&\\c" in to_csv(evil)
    assert r"=a\_b\&\textbackslash{}c" in to_latex(evil)


def test_the_papers_numbers_are_those_of_the_paper() -> None:
    assert len(TABLE) == 12 * 6
    assert theirs("sst-2", "badnets", 0.2, "dirty", "badllmtg") == {"CACC": 0.9109, "ASR": 0.1476}
    assert theirs("agnews", "synbkd", 0.2, "dirty", "none") == {"CACC": 0.9426, "ASR": 0.9355}
    assert theirs("sst-2", "badnets", 0.1, "dirty", "badllmtg") is None
    assert theirs("sst-2", "badnets", 0.2, "mix", "badllmtg") is None
    assert theirs("demo", "badnets", 0.2, "dirty", "badllmtg") is None
    for name in DEFENDERS:
        for figure in ("CACC", "ASR"):
            mean = statistics.fmean(value[figure] for key, value in TABLE.items() if key[2] == name)
            # Two of its printed means are not the means of its printed rows.
            if (name, figure) not in {("rap", "ASR"), ("musclelora", "ASR")}:
                assert MEANS[name][figure] == pytest.approx(mean, abs=2e-4), (name, figure)


def test_the_best_other_is_compared_pair_by_pair(made: dict[str, Any]) -> None:
    asr, cacc = made["comparisons"]
    assert (asr["figure"], asr["ours"], asr["other"], asr["n"]) == ("ASR", "badllmtg", "rap", 12)
    assert asr["mean_difference"] == pytest.approx(-0.22)
    assert asr["p"] == pytest.approx(2 / 2**12, rel=0.5)  # every difference has one sign
    assert (cacc["other"], cacc["mean_difference"]) == ("rap", pytest.approx(0.02))
    assert "ASR: badllmtg minus rap (the best other) is -22.0 points" in to_markdown(made)


def test_paired() -> None:
    assert paired([-0.1] * 5)["p"] is None  # no test of five pairs can reach 0.05
    assert paired([0.0] * 8)["p"] == 1.0
    told = paired([-0.1, -0.2, -0.15, -0.3, -0.12, -0.25, -0.22, 0.01])
    assert told["interval"][0] < told["mean_difference"] < told["interval"][1] < 0
    assert told["p"] < 0.05
    assert told == paired([-0.1, -0.2, -0.15, -0.3, -0.12, -0.25, -0.22, 0.01])
    mixed = paired([0.1, -0.1, 0.2, -0.2, 0.05, -0.04])
    assert mixed["p"] > 0.5
    assert not math.isnan(mixed["mean_difference"])
