"""``badllmtg report``: what it writes, and the sentence that bad input gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.errors import EXIT_OK
from openbackdoor_badllm.html_report.writer import write_report

from .world import results, write_benchmark, write_run

pytest.importorskip("matplotlib")
Capture = pytest.CaptureFixture[str]


def test_a_run_and_where_it_is_written(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "run")
    assert main(["report", str(folder)]) == EXIT_OK
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    names = {path.name for path in (folder / "report-pictures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("victims", "search", "trace") for kind in ("svg", "png")}
    out = tmp_path / "other" / "page.html"
    assert main(["report", str(folder), "--out", str(out)]) == EXIT_OK
    assert 'href="../run/flagged.csv"' in out.read_text(encoding="utf-8")


def test_what_a_run_may_lack(tmp_path: Path, no_pictures: None) -> None:
    """A run without a trigger search, without a trace, an old one, a defence of another kind."""
    for number, missing in enumerate(("search.json", "flagged.csv", "trace.npz", "config.json", "transcript.jsonl")):
        folder = write_run(tmp_path / str(number), llm=True)
        (folder / missing).unlink()
        assert "Backdoor found" in write_report(folder).page.read_text(encoding="utf-8")
    for defender, heading in ((None, "No defence was run"), ("onion", "Defended by onion")):
        folder = write_run(tmp_path / heading)
        other = {key: value for key, value in results().items() if key not in ("report", "truth")}
        (folder / "results.json").write_text(json.dumps({**other, "defender": defender}), encoding="utf-8")
        assert heading in write_report(folder).page.read_text(encoding="utf-8")
    folder = write_run(tmp_path / "nothing")
    nothing = results()
    nothing["report"].update(backdoor=False, triggers=[], demonstrations=[], style=None, unlearning=None)
    (folder / "results.json").write_text(json.dumps(nothing), encoding="utf-8")
    page = write_report(folder).page.read_text(encoding="utf-8")
    assert "No backdoor found" in page
    assert "no proof that there is none" in page


def test_a_torn_trace_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "torn")
    (folder / "trace.npz").write_bytes((folder / "trace.npz").read_bytes()[:200])
    assert "Confidence of the victim" not in write_report(folder).page.read_text(encoding="utf-8")


def test_a_pickle_in_the_trace_is_not_opened(tmp_path: Path) -> None:
    import numpy as np

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "boom"),))

    folder = write_run(tmp_path / "run")
    flags = np.array([Bomb()] * 3, dtype=object)
    np.savez(folder / "trace.npz", steps=flags, confidence=flags, labels=flags, poisoned=flags, allow_pickle=True)
    write_report(folder)
    assert not (tmp_path / "boom").exists()


def test_a_cell_of_a_benchmark_has_the_lines_of_its_references(tmp_path: Path, no_pictures: None) -> None:
    cell, references = write_run(tmp_path / "cells" / "own"), write_run(tmp_path / "cells" / "references")
    whole = results()
    for folder, names in ((cell, ["defended"]), (references, ["undefended", "trained on clean rows"])):
        kept = {**whole, "lines": [line for line in whole["lines"] if line["name"] in names]}
        (folder / "results.json").write_text(json.dumps(kept), encoding="utf-8")
    (cell / "cell.json").write_text(json.dumps({"references": "cells/references"}), encoding="utf-8")
    assert "100.0% → 7.0%" in write_report(cell).page.read_text(encoding="utf-8")


def test_a_plan_cannot_lead_out_of_its_folder(tmp_path: Path, no_pictures: None) -> None:
    folder = write_benchmark(tmp_path / "out")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "failure.json").write_text('{"sentence": "SECRET"}', encoding="utf-8")
    plan["cells"].append({**plan["cells"][0], "folder": "../secret"})
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert "SECRET" not in write_report(folder).page.read_text(encoding="utf-8")


def test_nothing_global_is_left_behind(tmp_path: Path) -> None:
    import csv
    import sys as system

    import matplotlib

    before, limit = dict(matplotlib.rcParams), csv.field_size_limit()
    pyplot = "matplotlib.pyplot" in system.modules
    write_report(write_run(tmp_path / "run"))
    assert dict(matplotlib.rcParams) == before
    assert csv.field_size_limit() == limit
    assert ("matplotlib.pyplot" in system.modules) == pyplot
